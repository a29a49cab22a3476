"""Units that our own table lacks, by the library pint. It is loaded when the first such unit is met."""

from fractions import Fraction
from functools import lru_cache
from typing import Any

from ringlite_cli.rewards.unit import BASE, Unit

_LONGEST = 24
_BASE_OF = {
    "meter": "m", "gram": "kg", "kilogram": "kg", "second": "s", "ampere": "A", "kelvin": "K", "mole": "mol",
    "candela": "cd", "radian": "rad",
}  # fmt: skip


@lru_cache(maxsize=4096)
def from_library(name: str) -> Unit | None:
    """Return the unit that pint knows by this name, or None: for unknown, dimensionless and offset units too.

    The name is looked up; it is never evaluated.
    """
    if not name.isalpha() or len(name) > _LONGEST:
        return None
    registry = _registry()
    if registry is None:
        return None
    try:
        parsed = registry.parse_unit_name(name)
        if not parsed:
            return None
        prefix, unit, _ = parsed[0]
        factor, base = registry.get_base_units(_container({prefix + unit: 1}))
        return _made(float(factor), dict(base._units))
    except Exception:  # the library has many ways to say that a unit is not multiplicative
        return None


def _made(factor: float, powers: dict[str, Any]) -> Unit | None:
    dimension = [Fraction(0)] * len(BASE)
    for name, power in powers.items():
        if name not in _BASE_OF:
            return None
        dimension[BASE.index(_BASE_OF[name])] += Fraction(power).limit_denominator(12)
        if name == "gram":
            factor *= 10.0 ** (-3 * float(power))
    return Unit(factor, tuple(dimension)) if any(dimension[:7]) else None


def _container(powers: dict[str, int]) -> Any:
    from pint.util import UnitsContainer

    return UnitsContainer(powers)


@lru_cache(maxsize=1)
def _registry() -> Any:
    try:
        import pint
    except ImportError:
        return None
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=False)
