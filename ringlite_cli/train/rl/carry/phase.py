"""One rollout phase: a constant number of responses in flight until enough groups are complete."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.engine.stream import Ask, Stream, Written, seed_of
from ringlite_cli.train.rl.carry.pool import Group, Pool

_LOOK = 8
"""Steps of the engine after which its tokens are counted where no response has ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """in_flight: responses under way at a time. longest: tokens of a response. seed: of the run.

    needs_log_probs: whether an engine without log-probabilities is refused.
    """

    in_flight: int
    longest: int
    seed: int
    needs_log_probs: bool = True


class Phase:
    """Writes a pool's responses on.

    launch: puts one more group into the pool, or returns None where there are to be no more. on_response: sees each
    that ended. lock: held while the pool changes.
    """

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        launch: Callable[[], Group | None],
        on_response: Callable[[Group, int], None] = lambda group, place: None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._pool, self._limits, self._launch, self._on_response = pool, limits, launch, on_response
        self._version, self._lock = pool.version, lock or nullcontext()
        self.generated = 0
        self.cancelled = False

    def prompts(self) -> list[list[int]]:
        """Return prompts of the pool, of which one is launched where it is empty."""
        with self._lock:
            if not self._pool.groups:
                self._launch()
            return [group.prompt for group in self._pool.groups]

    def run(self, stream: Stream, tokens: int, enough: Callable[[], bool]) -> None:
        """Write `tokens` tokens, and more until `enough` holds; the pool keeps what was written.

        Where the engine fails, its error is raised, and the pool is as it was when responses last ended.
        """
        if self.generated >= tokens and enough():
            return
        queue, open_ones = deque(self._pool.unfinished()), dict[str, tuple[Group, int]]()
        self._fill(stream, queue, open_ones)
        for step in count(1):
            ended = stream.step() if open_ones else []
            self._take_all(ended, open_ones)
            if self.cancelled:
                stream.stop()
                return
            if (ended or step % _LOOK == 0) and self.generated + stream.written() >= tokens and enough():
                break
            if ended:
                self._fill(stream, queue, open_ones)
        self._take_all(stream.stop(), open_ones)

    def _fill(self, stream: Stream, queue: "deque[tuple[Group, int]]", open_ones: dict[str, tuple[Group, int]]) -> None:
        """Ask for as many responses as there is room: carried ones, then those of new groups."""
        asks: list[Ask] = []
        while len(open_ones) < self._limits.in_flight:
            if not queue:
                with self._lock:
                    group = self._launch()
                if group is None:
                    break
                queue.extend((group, place) for place in range(len(group.responses)))
            group, place = queue.popleft()
            response = group.responses[place]
            name = f"{group.number}-{place}-{len(response.tokens)}"
            open_ones[name] = group, place
            seed = seed_of(self._limits.seed, group.number, place, len(response.tokens))
            asks.append(Ask(name, group.prompt + response.tokens, self._limits.longest - len(response.tokens), seed))
        if asks:
            stream.ask(asks)

    def _take_all(self, found: Sequence[Written], open_ones: dict[str, tuple[Group, int]]) -> None:
        with self._lock:
            for written in found:
                self._take(written, open_ones)

    def _take(self, written: Written, open_ones: dict[str, tuple[Group, int]]) -> None:
        group, place = open_ones.pop(written.name)
        response = group.responses[place]
        log_probs = self._checked(written, self._limits.longest - len(response.tokens))
        response.write(written.tokens, log_probs, self._version, ended=written.ended)
        if written.ended and not response.tokens:
            raise WorkFailed(
                "the engine ended a response without a token", hint="its tokens have the token that ends it, too"
            )
        self.generated += len(written.tokens)
        if written.ended:
            self._on_response(group, place)

    def _checked(self, written: Written, room: int) -> Sequence[float]:
        """Return the log-probabilities of new tokens. Raises WorkFailed where they cannot be those of a response."""
        tokens = len(written.tokens)
        if tokens > room:
            raise WorkFailed(f"the engine wrote {tokens} tokens of a response that had room for {room}")
        if written.log_probs is None:
            if self._limits.needs_log_probs:
                raise WorkFailed(
                    "the engine gives no log-probabilities, and responses of older weights are weighed by them",
                    where="rollouts",
                    hint="give `log_probs` with the tokens, set mismatch: {rule: none}, or take rollouts of mode wait "
                    "without ahead",
                )
            return [float("nan")] * tokens
        if len(written.log_probs) != tokens:
            raise WorkFailed(f"the engine gave {len(written.log_probs)} log-probabilities of {tokens} tokens")
        return written.log_probs
