"""Science: one law, two quantities with units, one number to find.

Careful: the law is named, then the product is worked digit by digit.
Terse:   the law with its result at once.
"""

import random
from dataclasses import dataclass

from ringlite_cli.data.generators import digits
from ringlite_cli.data.generators.base import Draft, Generator, Options, boxed


@dataclass(frozen=True)
class FormulaOptions(Options):
    """largest: the largest first quantity; the second has one digit."""

    largest: int = 99


_LAWS = (
    ("A train moves at {a} m/s for {b} s. How far does it go, in m?", "s = v t"),
    ("A mass of {a} kg speeds up by {b} m/s each second. What force acts, in N?", "F = m a"),
    ("A current of {a} A flows through {b} ohm. What is the voltage, in V?", "U = R I"),
    ("A force of {a} N moves a crate by {b} m. What work is done, in J?", "W = F s"),
    ("A lamp of {a} W burns for {b} s. What energy does it use, in J?", "E = P t"),
    ("A ball of {a} kg flies at {b} m/s. What is its momentum, in kg m/s?", "p = m v"),
    ("A pressure of {a} Pa acts on {b} square metres. What is the force, in N?", "F = p A"),
    ("A metal has {a} g per ml. What is the mass of {b} ml, in g?", "m = d V"),
    ("A wave of {a} Hz is {b} m long. What is its speed, in m/s?", "c = f l"),
    ("A gas has {a} g per mol. What is the mass of {b} mol, in g?", "m = n M"),
)


def draw(rng: random.Random, options: FormulaOptions) -> Draft:
    """One law, for example `A train moves at 46 m/s for 7 s. How far does it go, in m?`"""
    text, law = rng.choice(_LAWS)
    a, b = rng.randint(11, max(11, options.largest)), rng.randint(2, 9)
    return Draft(
        key=f"{text}/{a}/{b}",
        prompt=text.format(a=a, b=b),
        answer=str(a * b),
        careful=f"The law is {law}\n{digits.multiply(a, b)}\n",
        terse=f"{law} = {a * b}\n",
        final=boxed(a * b),
    )


FORMULAS = Generator("formulas", "science", "unit and formula problems with numbers", draw, FormulaOptions)
