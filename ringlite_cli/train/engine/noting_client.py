"""TRL's client of a vLLM server, which notes what fails in place of raising it.

The first rank of a trainer alone has one. Other ranks wait for it in collectives, and it must not leave them in the
middle of one: it goes through all of them first, and then tells what it noted.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

from torch import Tensor
from trl.generation.vllm_client import VLLMClient

from ringlite_cli.beside import beside
from ringlite_cli.train.engine.order import as_drawn, longest_first

Result = TypeVar("Result")
_POLL, _GRACE = 0.5, 5.0
_NO_RESPONSES: dict[str, Any] = {"prompt_ids": [], "completion_ids": [], "logprobs": None, "logprob_token_ids": None}


class NotingClient(VLLMClient):
    """See the top of this file. After a fault the server is asked for nothing more until `take_fault` is called."""

    expected: list[float] | None = None
    """Lengths that the responses of the next call are likely to have: prompts with the longest are asked first."""

    def __init__(
        self,
        url: str,
        group_port: int,
        *,
        wait: float,
        limit: Callable[[], AbstractContextManager[None]],
        is_gone: Callable[[], bool] | None = None,
    ) -> None:
        """Wait at most `wait` seconds for the server at `url`.

        group_port: a free one, for the weights. limit: bounds the time of a call. is_gone: whether the server has
        ended, for one that this run started, on this machine. If that does not answer, asking again is of no use.
        """
        self._fault: Exception | None = None
        self._limit, self._is_gone = limit, is_gone
        super().__init__(base_url=url, group_port=group_port, connection_timeout=wait)
        if is_gone is not None:
            adapter: Any = self.session.get_adapter(self.base_url)
            adapter.max_retries = adapter.max_retries.new(total=0, status_forcelist=())

    def attempt(self, work: Callable[[], Result], otherwise: Result) -> Result:
        """Return what work() gives, or `otherwise` where it fails, takes too long, or something failed before."""
        if self._fault is None:
            try:
                with self._limit():
                    return work()
            except Exception as error:
                self._fault = error
        return otherwise

    def note(self, fault: Exception) -> None:
        """Note what failed elsewhere than in this client."""
        self._fault = self._fault or fault

    def take_fault(self) -> Exception | None:
        """Return what failed since the last call, if anything did, and forget it."""
        fault, self._fault = self._fault, None
        return fault

    def generate(
        self, prompts: list[Any], features: list[Any] | None = None, n: int = 1, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Ask for responses as TRL does; there are none where that fails. A server begins with the first prompts."""
        order = longest_first(self.expected and self.expected[::n], len(prompts))
        asked = [prompts[place] for place in order]
        known = None if features is None else [features[place] for place in order]
        ask = partial(super().generate, asked, known, n, *args, **kwargs)
        return as_drawn(self.attempt(ask, _NO_RESPONSES), order, n)

    def update_named_params(self, metadata: list[Any], named_params: Iterator[tuple[str, Tensor]]) -> None:
        """Send weights as TRL does. Where that fails, the others are still gathered, as all ranks have to do.

        Raises what the gathering itself raises: this rank can't join the others any more.
        """
        weights = _Gathered(named_params)
        with beside(self._end_group, "server-watch"):
            self.attempt(lambda: super(NotingClient, self).update_named_params(metadata, weights), None)
        for _ in weights:
            pass
        if weights.broken is not None:
            raise weights.broken

    def reset_prefix_cache(self) -> None:
        """Have the server forget what it computed with older weights."""
        self.attempt(super().reset_prefix_cache, None)

    def _end_group(self, over: threading.Event) -> None:
        """End the group for the weights if the server ends before they are sent: NCCL would wait for it for ever."""
        while self._is_gone is not None and not over.wait(_POLL):
            if not self._is_gone():
                continue
            if self.communicator is not None and not over.wait(_GRACE):
                self.communicator.disabled = True  # what is left to be sent goes nowhere
                self.communicator.nccl.lib.ncclCommAbort(self.communicator.comm)
            return


class _Gathered(Iterator[tuple[str, Tensor]]):
    """Weights as they are gathered. `broken` is what was raised in the middle of a gathering."""

    def __init__(self, weights: Iterator[tuple[str, Tensor]]) -> None:
        self._weights = weights
        self.broken: Exception | None = None

    def __next__(self) -> tuple[str, Tensor]:
        try:
            return next(self._weights)
        except StopIteration:
            raise
        except Exception as error:
            self.broken = error
            raise
