"""OpenR1-Math (open-r1/OpenR1-Math-220k): problem, solution, answer, problem_type, question_type, source, uuid,
generations with is_reasoning_complete, correctness_math_verify and correctness_llama, one entry a generation.

The trace is the shortest generation that is complete and was judged right.
"""

from typing import Any

from ringlite_cli.data.adapters import numinamath
from ringlite_cli.data.adapters.fields import Fields, Raw

DOMAIN = "math"


def read(row: Raw) -> Fields:
    fields = numinamath.read(row)
    right = [g for g, good in zip(_list(row, "generations"), _right(row), strict=False) if good and isinstance(g, str)]
    fields["trace"] = min(right, key=len, default=None)
    return fields


def _right(row: Raw) -> list[bool]:
    """Return for each generation whether it is complete, and right by math-verify or by the judge model."""
    number = len(_list(row, "generations"))
    complete, rule, judge = (
        [*_list(row, name), *[None] * number][:number]
        for name in ("is_reasoning_complete", "correctness_math_verify", "correctness_llama")
    )
    return [c is not False and bool(r or j) for c, r, j in zip(complete, rule, judge, strict=True)]


def _list(row: Raw, name: str) -> list[Any]:
    value = row.get(name)
    return list(value) if isinstance(value, list | tuple) else []
