"""What ringlite knows of a game of reasoning-gym: its problem in a few signs, a worked solution, and what makes two
problems one.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ringlite_cli.data.text import collapse

Row = Mapping[str, Any]
"""A problem as reasoning-gym makes it: {"question", "answer", "metadata"}."""
Difficulty = Mapping[str, Any]
"""All fields of a game's difficulty, by name."""

ASK = "\nThink step by step. Give the final answer, and nothing else, between <answer> and </answer>."
ASK_SHORT = "\nAnswer between <answer> and </answer>."


class WrongGold(ValueError):
    """The answer that reasoning-gym gives is not the one that follows from its question."""


class Unworked(ValueError):
    """A problem of a form that ringlite cannot work."""


@dataclass(frozen=True)
class Worked:
    """A worked solution: its lines, each ending in a line break, and the answer as the game's scorer reads it."""

    lines: str
    answer: str


def same_text(row: Row) -> str:
    """The question without case, and with single spaces: what tells most problems apart."""
    return collapse(row["question"]).casefold()


@dataclass(frozen=True)
class Game:
    """A game that ringlite can work.

    work(row, difficulty, rng): the solution, step by step. Raises WrongGold where it comes to another answer, Unworked
    for a form of the problem that it does not know.
    short(row): the problem in few signs, for models of a few million parameters.
    key(row): what makes the problem itself, without its wording; decides its split.
    """

    name: str
    work: Callable[[Row, Difficulty, random.Random], Worked]
    short: Callable[[Row], str]
    key: Callable[[Row], str] = same_text


def gold(row: Row) -> str:
    """Return reasoning-gym's own answer to a problem; '' where it has none."""
    return str(row["answer"] or "")
