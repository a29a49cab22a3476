"""Problems chosen and mixed by what is known of them: `where: {level: [Level 4, Level 5], pass_rate: [0.1, 0.9]}`.

A condition names a label, or `domain`, `source`, `verifier`; `subject` also stands for the class or topic that curation
found, and `difficulty` for 1 - pass_rate where the source gives no number. A mix names its parts by a domain, or by a
label and its value (`level=Level 5`, `pass_rate=0.2..0.6`); a problem belongs to the first part that it fits.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.problems import Problem

Condition = Sequence[str | float] | str | float | bool
_OWN = ("domain", "source", "verifier")
_SUBJECTS = ("subject", "subject_class", "topic")
_RANGE = ".."


def matches(problem: Problem, where: Mapping[str, Condition]) -> bool:
    """Return whether every condition holds. A problem without the label does not fit.

    A list holds accepted values, compared as text without case; a list of two numbers is a range, ends included.
    """
    return all(_fits(values_of(problem, name), wanted) for name, wanted in where.items())


def part_of(problem: Problem, parts: Sequence[str]) -> str | None:
    """The first part of a mix that a problem belongs to; None where it is none of them."""
    return next((part for part in parts if _is_in(problem, part)), None)


def parts(problems: Sequence[Problem], names: Sequence[str]) -> dict[str, list[Problem]]:
    """Part -> its problems, each problem in one part at most."""
    found: dict[str, list[Problem]] = {name: [] for name in names}
    for problem in problems:
        if (name := part_of(problem, names)) is not None:
            found[name].append(problem)
    return found


def values_of(problem: Problem, name: str) -> list[Any]:
    """Return what is known of a problem under a name; [] where nothing is."""
    labels = problem.labels
    if name in _OWN:
        return [getattr(problem, name)]
    if name == "subject":
        return [labels[each] for each in _SUBJECTS if labels.get(each) is not None]
    value = labels.get(name)
    if name == "difficulty" and _number(value) is None and _number(labels.get("pass_rate")) is not None:
        return [v for v in (value, round(1 - float(labels["pass_rate"]), 9)) if v is not None]
    if isinstance(value, list):
        return list(value)
    return [] if value is None else [value]


TOLD = ("subject", "level", "difficulty", "source")
"""The labels by which results are told apart."""


def told(problem: Problem) -> dict[str, str]:
    """The labels of `TOLD` that a problem has, as text; a difficulty from 0 to 1 as the fifth that holds it."""
    found: dict[str, str] = {}
    for name in TOLD:
        values = [value for value in values_of(problem, name) if isinstance(value, str | int | float)]
        if values and str(values[0]):
            found[name] = _fifth(values[-1]) if name == "difficulty" else str(values[0])
    return found


def _fifth(value: str | float) -> str:
    """The range of a share as a mix would name it, 0.2..0.4; any other value as it is."""
    share = _number(value)
    if share is None or not 0 <= share <= 1 or isinstance(value, int) or str(value).strip() in ("0", "1"):
        return str(value)
    low = min(int(share * 5 + 1e-9), 4)
    return f"{low / 5:.1f}{_RANGE}{(low + 1) / 5:.1f}"


def labels_there(problems: Sequence[Problem]) -> str:
    """For messages: the labels that problems have, each with some of its values."""
    found: dict[str, dict[str, None]] = {}
    for problem in problems:
        for name, value in problem.labels.items():
            if isinstance(value, str | int | float):
                found.setdefault(name, {})[str(value)] = None
    told = [
        f"{name} ({', '.join(list(values)[:3])}{', ...' if len(values) > 3 else ''})" for name, values in found.items()
    ]
    return f"labels there: {', '.join(told) or 'none'}"


def range_of(wanted: Condition) -> tuple[float, float] | None:
    """The range that a condition stands for; None where it lists values."""
    if isinstance(wanted, str) or not isinstance(wanted, Sequence) or len(wanted) != 2:
        return None
    low, high = (_number(end) for end in wanted)
    return (low, high) if low is not None and high is not None else None


def _fits(values: Sequence[Any], wanted: Condition) -> bool:
    ends = range_of(wanted)
    if ends:
        return any(number is not None and ends[0] <= number <= ends[1] for number in map(_number, values))
    listed = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Sequence) else wanted
    accepted = {_text(each) for each in listed}
    return any(_text(value) in accepted for value in values)


def _is_in(problem: Problem, part: str) -> bool:
    name, equals, value = part.partition("=")
    if not equals:
        return problem.domain == part
    low, dots, high = value.partition(_RANGE)
    ends = (_parsed(low), _parsed(high)) if dots else (None, None)
    wanted: Condition = value if ends[0] is None or ends[1] is None else [ends[0], ends[1]]
    return _fits(values_of(problem, name.strip()), wanted)


def _number(value: Any) -> float | None:
    """The number that a value is, or spells: a table of text has no others."""
    number = _parsed(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return float(number)


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: Any) -> str:
    number = _number(value)
    return f"{number:g}" if number is not None else str(value).strip().casefold()
