"""What the generators share: drafts, splits that cannot overlap, worked styles, reproducible streams.

A generator draws *drafts*: a prompt with its key, its answer or tests, and the bodies of two worked traces.

Two worked styles. Every draft can be worked in a *careful* style (digit by digit, step by step: long, and within
reach of a very small model) or in a *terse* one (it jumps to results: short and correct in the data, but a very small
model cannot compute that fast). Real long chain-of-thought data is such a mixture. Supervised training learns the
mixture; reinforcement learning finds out which style pays, so that reward and response length grow together. Each
domain opens its careful style with words of its own, so that finding it in one domain is not finding it in all.

Splits. A draft's key (its numbers, not its wording) is hashed into one of a hundred buckets, and each split owns some
buckets: a train problem and an eval problem can never be the same, whatever their seeds.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ringlite_cli.errors import UserError, near
from ringlite_cli.problems import Problem

SPLITS = {"train": range(80), "select": range(80, 90), "eval": range(90, 100)}
"""Which of the hundred buckets belong to which split."""

_TRIES = 2000


@dataclass(frozen=True)
class Draft:
    """A problem before a style is chosen.

    key:   what makes the problem itself, without its wording; decides the split.
    careful, terse: bodies of the two worked traces, each ending in a line break.
    final: what follows `</think>`: the boxed answer, the code block, or the reply.
    part: what decides the split where problems with other keys have it in common; "" is the key.
    """

    key: str
    prompt: str
    answer: str | None
    careful: str
    terse: str
    final: str
    tests: dict[str, Any] | None = None
    part: str = ""
    verifier: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """What a recipe may set on any generator; each generator adds its own.

    careful: the fraction of traces worked in the careful style.
    faults:  planted faulty rows, as a fraction of all rows (faults.py); each is labelled, for tests to count.
    """

    careful: float = 0.5
    faults: float = 0.0

    def check(self, where: str) -> None:
        """Raise UserError for values that can't be, beyond their types."""


@dataclass(frozen=True)
class Generator:
    """A named source of problems in one domain.

    draw(rng, options): one draft. options: its Options class, whose defaults are the demo's problems.
    """

    name: str
    domain: str
    summary: str
    draw: Callable[[random.Random, Any], Draft]
    options: type[Options] = field(default=Options)

    def generate(
        self, rows: int, seed: int, split: str = "train", options: Mapping[str, Any] | None = None
    ) -> Iterator[Problem]:
        """Yields `rows` problems of a split, the same for the same seed and options.

        Planted copies of eval problems (fault "contamination") come from the first rows of this seed's eval split.
        Raises UserError for an unknown split or option, or when the problem space is too small for `rows`.
        """
        chosen = self.read_options(options or {})
        if split not in SPLITS:
            raise UserError(
                f"'{split}' is not a split", where=f"generator {self.name}", hint=f"one of {', '.join(SPLITS)}"
            )
        clean = self._clean(seed, split, chosen)
        if not chosen.faults:
            for index in range(rows):
                yield replace(next(clean), index=index)
            return
        from ringlite_cli.data.generators.faults import plant

        evals = self._clean(seed, "eval", chosen)
        yield from plant(clean, evals, rows, chosen.faults, random.Random(f"{seed}/{self.name}/{split}/faults"))

    def read_options(self, options: Mapping[str, Any]) -> Options:
        """Options from a recipe's mapping; raises UserError naming a key or value that does not fit."""
        known = {f.name: f for f in fields(self.options)}
        where = f"generator {self.name}: options"
        for key, value in options.items():
            if key not in known:
                hint = near(key, known, f"one of {', '.join(known)}")
                raise UserError(f"'{key}' is not an option", where=where, hint=hint)
            if fault := _fault(value, known[key].default):
                raise UserError(f"{value!r} is not {fault}", where=f"{where}.{key}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
        chosen = self.options(**values)
        chosen.check(where)
        return chosen

    def _clean(self, seed: int, split: str, options: Options) -> Iterator[Problem]:
        """The endless stream of a split without faults; no key comes twice."""
        rng = random.Random(f"{seed}/{self.name}/{split}")
        seen: set[str] = set()
        while True:
            draft = self._fresh_draft(rng, split, options, seen)
            style = "careful" if rng.random() < options.careful else "terse"
            yield Problem(
                id=f"{self.name}-{split}-{seed}-{len(seen) - 1}",
                domain=self.domain,
                prompt=draft.prompt,
                answer=draft.answer,
                tests=draft.tests,
                trace=worked(draft.careful if style == "careful" else draft.terse, draft.final),
                source=self.name,
                verifier=draft.verifier,
                labels={"style": style, **draft.labels},
            )

    def _fresh_draft(self, rng: random.Random, split: str, options: Options, seen: set[str]) -> Draft:
        for _ in range(_TRIES):
            draft = self.draw(rng, options)
            if draft.key not in seen and bucket(draft.part or draft.key) in SPLITS[split]:
                seen.add(draft.key)
                return draft
        raise UserError(
            f"no new {split} problem after {len(seen)}: the problem space is used up",
            where=f"generator {self.name}",
            hint="ask for fewer rows or widen its options",
        )


def _fault(value: Any, default: Any) -> str:
    """Return what an option should be, and is not; "" where it fits. Its default tells its type."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, tuple):
        is_list = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        return "" if is_list else "a list of names"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    if isinstance(default, float):
        return "" if 0 <= value <= 1 else "a fraction from 0 to 1"
    return "" if value == int(value) and value >= 1 else "a whole number of at least 1"


def bucket(key: str) -> int:
    """The bucket, 0 to 99, of a problem's key: the same on every machine and for every seed."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % 100


def worked(body: str, final: str) -> str:
    """A trace: the worked body between think tags, then the final answer."""
    return f"<think>\n{body}</think>\n{final}"


def boxed(answer: int | str) -> str:
    """The final answer as the verifiers read it."""
    return f"\\boxed{{{answer}}}"
