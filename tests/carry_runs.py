"""A small engine for mode carry: deterministic, a token a step, and responses whose lengths the prompts decide."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tiny_lm import EOS, WORDS

from ringlite_cli.train.engine.stream import Ask, Written


def words(length: Callable[[str], int], log_probs: bool = True) -> type:
    """Return the `rollout_func` object of an engine whose response of that name (group-place) has so many tokens."""

    class Words:
        """One token a step for every response under way; what it writes follows from name and place alone."""

        asked: list[list[Ask]] = []  # noqa: RUF012 - of all rollouts, for the tests to read
        stopped: list[list[Written]] = []  # noqa: RUF012

        def __init__(self, trainer: Any) -> None:
            self._open: dict[str, tuple[Ask, list[int]]] = {}

        @classmethod
        def stream(cls, trainer: Any) -> "Words":
            cls.asked.append([])
            cls.stopped.append([])
            return cls(trainer)

        def ask(self, asks: Sequence[Ask]) -> None:
            self.asked[-1].extend(asks)
            self._open |= {ask.name: (ask, []) for ask in asks}

        def step(self) -> list[Written]:
            found = []
            for name, (ask, tokens) in list(self._open.items()):
                group, place, before = name.split("-")
                number = int(before) + len(tokens)
                last = number + 1 == length(f"{group}-{place}")
                drawn = random.Random(f"{group}-{place}-{number}").randrange(WORDS)
                tokens.append(EOS if last else drawn)
                if last or len(tokens) == ask.room:
                    found.append(self._written(name, ended=True))
            return found

        def written(self) -> int:
            return sum(len(tokens) for _, tokens in self._open.values())

        def stop(self) -> list[Written]:
            self.stopped[-1] = [self._written(name, ended=False) for name in list(self._open)]
            return self.stopped[-1]

        def _written(self, name: str, *, ended: bool) -> Written:
            tokens = self._open.pop(name)[1]
            return Written(name, tokens, [-4.0] * len(tokens) if log_probs else None, ended)

    return Words
