"""The order in which an engine begins with responses where their lengths are known: the longest first."""

from collections.abc import Mapping, Sequence
from typing import Any


def longest_first(expected: Sequence[float] | None, count: int) -> list[int]:
    """Return the places of `count` responses or prompts in the order in which they are begun; equals keep theirs.

    expected: their lengths. Of others, as those that a call of a tool goes on with, nothing is known.
    """
    if expected is None or len(expected) != count:
        return list(range(count))
    return sorted(range(count), key=lambda place: -expected[place])


def as_drawn(answer: Mapping[str, Any], order: Sequence[int], responses: int) -> dict[str, Any]:
    """Return a server's answer in the order in which prompts were drawn.

    order: places of the prompts as they were asked. responses: of each prompt. Lists of `answer` have a row per prompt
    (prompt_ids) or per response (all others).
    """
    asked_as = {place: number for number, place in enumerate(order)}

    def sorted_back(rows: Any, each: int) -> Any:
        if not rows:
            return rows
        return [rows[asked_as[place] * each + i] for place in range(len(order)) for i in range(each)]

    return {name: sorted_back(rows, 1 if name == "prompt_ids" else responses) for name, rows in answer.items()}
