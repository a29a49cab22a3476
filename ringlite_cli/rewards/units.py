"""Simple physical units: `3.0e-10 \\mathrm{~m/s^2}` as a number and a unit that compares with others of its kind."""

import re
from dataclasses import dataclass
from fractions import Fraction

from ringlite_cli.rewards.more_units import from_library
from ringlite_cli.rewards.normalise import normalise
from ringlite_cli.rewards.unit import BASE, Unit

_PREFIXES = {
    "": 1.0, "Y": 1e24, "Z": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "d": 1e-1,
    "c": 1e-2, "m": 1e-3, "u": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18,
}  # fmt: skip
# unit: (factor to SI, powers written as "kg m2 s-2", takes SI prefixes)
_UNITS: dict[str, tuple[float, str, bool]] = {
    "m": (1, "m", True), "g": (1e-3, "kg", True), "s": (1, "s", True), "A": (1, "A", True), "K": (1, "K", True),
    "mol": (1, "mol", True), "cd": (1, "cd", True), "rad": (1, "rad", True), "Hz": (1, "s-1", True),
    "N": (1, "kg m s-2", True), "Pa": (1, "kg m-1 s-2", True), "J": (1, "kg m2 s-2", True),
    "W": (1, "kg m2 s-3", True), "C": (1, "A s", True), "V": (1, "kg m2 s-3 A-1", True),
    "Ω": (1, "kg m2 s-3 A-2", True), "ohm": (1, "kg m2 s-3 A-2", True), "F": (1, "kg-1 m-2 s4 A2", True),
    "T": (1, "kg s-2 A-1", True), "H": (1, "kg m2 s-2 A-2", True), "Wb": (1, "kg m2 s-2 A-1", True),
    "eV": (1.602176634e-19, "kg m2 s-2", True), "L": (1e-3, "m3", True), "l": (1e-3, "m3", True),
    "bar": (1e5, "kg m-1 s-2", True), "cal": (4.184, "kg m2 s-2", True), "M": (1e3, "mol m-3", True),
    "min": (60, "s", False), "h": (3600, "s", False), "hr": (3600, "s", False), "hour": (3600, "s", False),
    "day": (86400, "s", False), "d": (86400, "s", False), "yr": (3.15576e7, "s", True), "year": (3.15576e7, "s", False),
    "deg": (0.017453292519943295, "rad", False), "°": (0.017453292519943295, "rad", False),
    "atm": (101325, "kg m-1 s-2", False), "Å": (1e-10, "m", False), "angstrom": (1e-10, "m", False),
    "AU": (1.495978707e11, "m", False), "pc": (3.0856775814913673e16, "m", True),
    "ly": (9.4607304725808e15, "m", False),
    "in": (0.0254, "m", False), "ft": (0.3048, "m", False), "mi": (1609.344, "m", False),
    "lb": (0.45359237, "kg", False),
    "u": (1.66053906660e-27, "kg", False), "amu": (1.66053906660e-27, "kg", False), "erg": (1e-7, "kg m2 s-2", False),
    "dyn": (1e-5, "kg m s-2", False), "gauss": (1e-4, "kg s-2 A-1", False), "%": (0.01, "", False),
    "t": (1e3, "kg", False),
    "second": (1, "s", False), "meter": (1, "m", True), "metre": (1, "m", True), "gram": (1e-3, "kg", True),
    "joule": (1, "kg m2 s-2", True), "watt": (1, "kg m2 s-3", True), "newton": (1, "kg m s-2", True),
    "volt": (1, "kg m2 s-3 A-1", True), "kelvin": (1, "K", False), "mole": (1, "mol", False),
    "minute": (60, "s", False),
    "torr": (133.32236842105263, "kg m-1 s-2", False), "mmHg": (133.322387415, "kg m-1 s-2", False),
    "mph": (0.44704, "m s-1", False), "kph": (1 / 3.6, "m s-1", False), "G": (1e-4, "kg s-2 A-1", False),
    "Da": (1.66053906660e-27, "kg", True), "hp": (745.69987158227, "kg m2 s-3", False),
    "gal": (3.785411784e-3, "m3", False), "rpm": (1 / 60, "s-1", False), "Wh": (3600, "kg m2 s-2", True),
}  # fmt: skip
_WORD_PREFIXES = {"kilo": 1e3, "mega": 1e6, "giga": 1e9, "centi": 1e-2, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit (None for a bare number).

    integer: it was written as one. scale: C or F for a temperature of that scale, whose unit is None.
    """

    value: float
    unit: Unit | None
    integer: bool
    scale: str = ""


_NUMBER = re.compile(
    r"""\s*(?P<mantissa>[+-]?\s*(?:\d+\.?\d*|\.\d+))
        (?:\s*(?:[eE]\s*(?P<e>[+-]?\d+)|(?:\\times|\\cdot|×|·|x|\*)\s*10\s*(?:\^|\*\*)\s*(?:\{\s*(?P<b>[+-]?\s*\d+)\s*\}|\(?(?P<p>[+-]?\d+)\)?)))?
        (?P<rest>.*)\Z""",
    re.VERBOSE | re.DOTALL,
)
_TEMPERATURE = re.compile(r"(?:°|deg(?:rees?)?)\s*(Celsius|Fahrenheit|[CF])|(Celsius|Fahrenheit)", re.IGNORECASE)
_POWER_OF_TEN = re.compile(r"\s*10\s*\^\s*(?:\{\s*(?P<b>[+-]?\s*\d+)\s*\}|(?P<p>[+-]?\d+))(?P<rest>.*)\Z", re.DOTALL)


_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)\.?(?:\s*,\s*|\s+and\s+|\s*)")


def _compound(text: str) -> Quantity | None:
    """1 hour 30 minutes, 5 ft 3 in: parts of one kind, the larger first."""
    text, total, place = _unit_text(text), 0.0, 0
    units: list[Unit] = []
    while place < len(text):
        part = _PART.match(text, place)
        unit = read_unit(part[2]) if part and len(units) < 5 else None
        if part is None or unit is None or (units and unit.factor >= units[-1].factor):
            return None
        if units and (unit.dimension != units[-1].dimension or float(part[1]) * unit.factor >= units[-1].factor):
            return None
        total += float(part[1]) * unit.factor
        units.append(unit)
        place = part.end()
    return Quantity(total / units[0].factor, units[0], integer=False) if len(units) > 1 else None


def read_quantity(text: str) -> Quantity | None:
    """A number with an optional unit, LaTeX or plain; None for anything else (an expression, a word)."""
    text = normalise(text)
    if len(text) < 100 and (compound := _compound(text)) is not None:
        return compound
    text = re.sub(r"^pH\s+(?:is\s+)?(?=[\d.])", "", text)
    text = re.sub(r"^[A-Za-z]\w*(?:_\{?\w+\}?)?\s*(?:=|\\approx|≈)\s*", "", text)
    power = _POWER_OF_TEN.match(text)
    match = power or _NUMBER.match(text)
    if match is None:
        return None
    groups = match.groupdict()
    exponent = groups.get("e") or groups.get("b") or groups.get("p")
    mantissa = "1" if power else groups["mantissa"].replace(" ", "")
    try:
        value = float(f"{mantissa}e{(exponent or '0').replace(' ', '')}")
    except ValueError:
        return None
    rest = _unit_text(groups["rest"])
    if not rest:
        return Quantity(value, None, integer="." not in mantissa and exponent is None)
    if temperature := _TEMPERATURE.fullmatch(rest):
        return Quantity(value, None, integer=False, scale=(temperature[1] or temperature[2])[0].upper())
    unit = read_unit(rest)
    return None if unit is None else Quantity(value, unit, integer=False)


def _unit_text(text: str) -> str:
    text = text.replace("^\\circ", "°").replace("^{\\circ}", "°")
    text = re.sub(r"\^\s*\{\s*([+-]?\d+)\s*\}", r"^\1", text)
    text = re.sub(r"\\(?:mathrm|text|textrm|mathbf|operatorname|mbox)\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)", text)
    for macro, sign in _SIGNS.items():
        text = text.replace(macro, sign)
    return re.sub(r"\\(?:cdot|times|rm)(?![A-Za-z])|\\[,;:! ]|[·×*{}~]", " ", text).strip()


_SIGNS = {"\\%": "%", "\\circ": "°", "\\degree": "°", "\\mu": "μ", "\\Omega": "Ω", "\\AA": "Å"}
_POWER_WORD = re.compile(r"\b(square|sq|cubic|cu)\s+([A-Za-z]+)(?![\w^])")
_FACTOR = re.compile(r"\s*([A-Za-zμΩÅ°%]+)(?:(?:\s*(?:\^|\*\*)\s*)?\(?([+-]?\d+)\)?)?")


def read_unit(text: str) -> Unit | None:
    """`m/s^2`, `kg m s^-2`, `J/(kg K)`; None for what is not made of known units."""
    if len(text) > 100:
        return None
    text = _POWER_WORD.sub(lambda m: f"{m[2]}^{2 if m[1][0] == 's' else 3}", text)
    factor, dimension, sign, grouped = 1.0, [Fraction(0)] * len(BASE), 1, False
    place = 0
    while place < len(text):
        character = text[place]
        if character in " ()":
            grouped = grouped or (character == "(" and sign == -1)
            if character == ")":
                sign, grouped = 1, False
            place += 1
            continue
        if character == "/":
            sign, place = -1, place + 1
            continue
        match = _FACTOR.match(text, place)
        single = _single(match[1]) if match else None
        if match is None or single is None:
            return None
        power = sign * int(match[2] or 1)
        if abs(power) > 12:
            return None
        factor *= single.factor**power
        dimension = [d + power * p for d, p in zip(dimension, single.dimension, strict=True)]
        sign, place = sign if grouped else 1, match.end()
    return Unit(factor, tuple(dimension))


def _single(name: str) -> Unit | None:
    for candidate in (name, name.lower() if len(name) > 3 else name, name.rstrip("s") if len(name) > 3 else name):
        if candidate in _UNITS:
            return _made(candidate, 1.0)
        for prefix, scale in _PREFIXES.items():
            rest = candidate[len(prefix) :]
            if prefix and candidate.startswith(prefix) and rest in _UNITS and _UNITS[rest][2]:
                return _made(rest, scale)
        for prefix, scale in _WORD_PREFIXES.items():
            rest = candidate[len(prefix) :].rstrip("s") or "s"
            if candidate.startswith(prefix) and rest in _UNITS:
                return _made(rest, scale)
    return from_library(name) or (from_library(name.lower()) if len(name) > 3 and name.istitle() else None)


def _made(name: str, scale: float) -> Unit:
    factor, powers, _ = _UNITS[name]
    dimension = [Fraction(0)] * len(BASE)
    for part in powers.split():
        match = re.match(r"([A-Za-z]+)(-?\d+)?", part)
        assert match
        dimension[BASE.index(match[1])] += int(match[2] or 1)
    return Unit(factor * scale, tuple(dimension))
