"""Code: a small Python function from a description, whose constants are to be folded into one; tests run for real.

Careful: the constants are folded digit by digit before the function is written.
Terse:   the folded constant is stated at once.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ringlite_cli.data.generators import digits
from ringlite_cli.data.generators.base import Draft, Generator, Options


@dataclass(frozen=True)
class FunctionOptions(Options):
    """largest: the largest constant in a description. cases: tests per function."""

    largest: int = 99
    cases: int = 4


@dataclass(frozen=True)
class _Kind:
    """A family of functions of one argument and one folded constant c."""

    text: str  # describes it; {c} is where the unfolded constant is described
    argument: str
    body: str
    run: Callable[[Any, int], Any]


_KINDS = (
    _Kind("adds {c} to x", "x", "return x + {c}", lambda x, c: x + c),
    _Kind("subtracts {c} from x", "x", "return x - {c}", lambda x, c: x - c),
    _Kind("returns twice x, plus {c}", "x", "return 2 * x + {c}", lambda x, c: 2 * x + c),
    _Kind("returns the larger of x and {c}", "x", "return max(x, {c})", max),
    _Kind("returns the sum of v, plus {c}", "v", "return sum(v) + {c}", lambda v, c: sum(v) + c),
    _Kind("returns the items of v above {c}", "v", "return [x for x in v if x > {c}]", lambda v, c: _above(v, c)),
    _Kind("adds {c} to each item of v", "v", "return [x + {c} for x in v]", lambda v, c: [x + c for x in v]),
)


def _above(items: list[int], limit: int) -> list[int]:
    return [x for x in items if x > limit]


def draw(rng: random.Random, options: FunctionOptions) -> Draft:
    """One description, for example `Write a Python function f(x) that adds the sum of 47 and 38 to x.`"""
    kind = rng.choice(_KINDS)
    a, b = sorted((rng.randint(1, options.largest), rng.randint(1, options.largest)), reverse=True)
    if rng.random() < 0.5:
        words, work, constant = f"the sum of {a} and {b}", digits.add(a, b), a + b
    else:
        words, work, constant = f"the difference of {a} and {b}", digits.subtract(a, b), a - b
    body = kind.body.format(c=constant)
    return Draft(
        key=f"{kind.text}/{words}",
        prompt=f"Write a Python function f({kind.argument}) that {kind.text.format(c=words)}.",
        answer=None,
        careful=f"Fold the constant first.\n{work}\n",
        terse=f"Use {constant}\n",
        final=f"```python\ndef f({kind.argument}):\n    {body}\n```",
        tests=_tests(rng, kind, constant, options),
    )


def _tests(rng: random.Random, kind: _Kind, constant: int, options: FunctionOptions) -> dict[str, Any]:
    """Calls with the results that the description asks for, on both sides of the constant."""
    offsets = [0, 1, -rng.randint(1, 9), rng.randint(2, 50), *(rng.randint(-99, 99) for _ in range(options.cases))]
    near = [constant + offset for offset in offsets]
    lists = [[*near[:2], *rng.sample(near, rng.randint(0, 3))] for _ in near]
    arguments = (lists if kind.argument == "v" else near[1:])[: options.cases]
    return {
        "mode": "function",
        "language": "python",
        "entry_point": "f",
        "cases": [{"args": [argument], "expected": kind.run(argument, constant)} for argument in arguments],
    }


FUNCTIONS = Generator("functions", "code", "a small Python function from a description", draw, FunctionOptions)
