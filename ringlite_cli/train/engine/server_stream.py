"""A vLLM server as a stream of responses: one streamed request each, left where the rollout ends.

A request whose connection is closed is given up by the server. What had come by then is kept.
"""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli.errors import WorkFailed
from ringlite_cli.http_client import post_events
from ringlite_cli.train.engine.stream import Ask, Written

_SOON = 0.05
_GIVEN_UP = ("abort", "error")
"""What a server calls the end of a response that it did not write to its end."""


@dataclass
class _Request:
    ask: Ask
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    told: bool = True  # whether every token came with a log-probability
    ended: bool = False
    given_up: str = ""  # the server's word for it


class ServerStream:
    """See ringlite_cli/train/engine/stream.py. url: of the server. settings: of every request, as vLLM takes them."""

    def __init__(self, url: str, model: str, settings: dict[str, Any], *, in_flight: int, timeout: float) -> None:
        """model: the server's name for the policy. timeout: seconds that the server may be silent."""
        self._url, self._timeout = f"{url.rstrip('/')}/v1/completions", timeout
        self._settings = {**settings, "model": model, "stream": True, "return_token_ids": True, "n": 1}
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="rollout")
        self._open: dict[str, _Request] = {}
        self._over: queue.Queue[tuple[_Request, Exception | None]] = queue.Queue()
        self._left = threading.Event()

    def ask(self, asks: Sequence[Ask]) -> None:
        for ask in asks:
            request = self._open[ask.name] = _Request(ask)
            self._threads.submit(self._follow, request)

    def step(self) -> list[Written]:
        """Wait a moment for responses to end, and return those that have. Raises what a request raised."""
        found: list[Written] = []
        while True:
            try:
                request, error = self._over.get(block=not found, timeout=_SOON)
            except queue.Empty:
                return found
            if error is not None:
                self.forget()
                raise error
            del self._open[request.ask.name]
            found.append(_written(request))

    def written(self) -> int:
        return sum(len(request.tokens) for request in self._open.values())

    def stop(self) -> list[Written]:
        self.forget()
        found = [_written(request) for request in self._open.values()]
        self._open.clear()
        return found

    def forget(self) -> None:
        """Leave all requests, and wait for their threads."""
        self._left.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _follow(self, request: _Request) -> None:
        """Read a response as it is written, in a thread of its own."""
        if self._left.is_set():
            return
        body = self._settings | {"prompt": request.ask.ids, "max_tokens": request.ask.room, "seed": request.ask.seed}
        error: Exception | None = None
        try:
            for event in post_events(self._url, body, timeout=self._timeout):
                _take(request, event)
                if request.ended or request.given_up or self._left.is_set():
                    break
            if not request.ended and not self._left.is_set():
                why = f" ({request.given_up})" if request.given_up else ""
                error = WorkFailed(
                    f"the server broke off a response after {len(request.tokens)} tokens{why}", where=self._url
                )
        except Exception as failure:
            error = failure
        if request.ended or (error is not None and not self._left.is_set()):
            self._over.put((request, error))


def _take(request: _Request, event: Any) -> None:
    for choice in event.get("choices", ()):
        tokens = choice.get("token_ids") or []
        log_probs = (choice.get("logprobs") or {}).get("token_logprobs") or []
        request.told = request.told and len(log_probs) == len(tokens)
        request.tokens += tokens
        request.log_probs += [float("nan") if each is None else each for each in log_probs]
        reason = choice.get("finish_reason")
        request.given_up = reason if reason in _GIVEN_UP else ""
        request.ended = reason is not None and not request.given_up


def _written(request: _Request) -> Written:
    log_probs = request.log_probs if request.told else None
    return Written(request.ask.name, request.tokens, log_probs, request.ended)
