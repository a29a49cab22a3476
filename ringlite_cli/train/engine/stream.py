"""What mode carry asks of an engine: to write responses on, to be stopped, and to tell what was written until then."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ask:
    """A response to be begun or continued.

    name: unique among those under way. ids: the prompt's tokens and those written so far. room: tokens that may come.
    seed: for engines whose responses have random numbers of their own.
    """

    name: str
    ids: list[int]
    room: int
    seed: int


@dataclass(frozen=True, slots=True)
class Written:
    """New tokens of a response. log_probs: one per token, NaN where the engine gave none; None where it has none."""

    name: str
    tokens: Sequence[int]
    log_probs: Sequence[float] | None
    ended: bool


class Stream(Protocol):
    """An engine at work. A fresh one is asked for each rollout; its weights do not change meanwhile."""

    def ask(self, asks: Sequence[Ask]) -> None:
        """Take up responses."""
        ...

    def step(self) -> list[Written]:
        """Write on; return the responses that have ended with all their new tokens, perhaps none."""
        ...

    def written(self) -> int:
        """Return how many new tokens the unfinished responses have."""
        ...

    def stop(self) -> list[Written]:
        """Give all unfinished responses up, and return what was written of them."""
        ...


def seed_of(seed: int, group: int, place: int, written: int) -> int:
    """Return the seed of a response's next tokens: the same after a resume, another for every part of a response."""
    return random.Random(f"{seed}-{group}-{place}-{written}").getrandbits(31)
