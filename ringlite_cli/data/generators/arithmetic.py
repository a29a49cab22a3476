"""Math: chains of additions and subtractions whose partial results never go below zero.

Careful: every operation on a line of its own, digit by digit with carries and borrows.
Terse:   the result at once.
"""

import random
from dataclasses import dataclass

from ringlite_cli.data.generators import digits
from ringlite_cli.data.generators.base import Draft, Generator, Options, boxed


@dataclass(frozen=True)
class ArithmeticOptions(Options):
    """operands: numbers in the longest chain (the shortest has two). largest: the largest operand."""

    operands: int = 3
    largest: int = 99


_WORDINGS = ("Compute {}.", "What is {}?", "Find the value of {}.")


def draw(rng: random.Random, options: ArithmeticOptions) -> Draft:
    """One chain, for example `Compute 47+85-36.`"""
    value = rng.randint(1, options.largest)
    expression, lines = str(value), []
    for _ in range(rng.randint(2, max(2, options.operands)) - 1):
        operand = rng.randint(1, options.largest)
        minus = operand <= value and rng.random() < 0.5
        lines.append(digits.subtract(value, operand) if minus else digits.add(value, operand))
        expression += f"{'-' if minus else '+'}{operand}"
        value += -operand if minus else operand
    return Draft(
        key=expression,
        prompt=rng.choice(_WORDINGS).format(expression),
        answer=str(value),
        careful="".join(f"{line}\n" for line in lines),
        terse=f"It is {value}\n",
        final=boxed(value),
    )


ARITHMETIC = Generator("arithmetic", "math", "multi-step integer expressions", draw, ArithmeticOptions)
