"""What a unit is: a factor to SI and the powers of its base units."""

from dataclasses import dataclass
from fractions import Fraction

Dimension = tuple[Fraction, ...]
"""Powers of the base units, in the order of BASE."""
BASE = ["m", "kg", "s", "A", "K", "mol", "cd", "rad"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its factor to SI and the powers of the SI base units."""

    factor: float
    dimension: Dimension
