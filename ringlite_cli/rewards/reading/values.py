"""Values of trees: exact where they are rational, else to many digits, at points that the symbols' names choose."""

import hashlib
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ringlite_cli.rewards.reading.tokens import Unread
from ringlite_cli.rewards.reading.tree import Node

MOST_BITS = 60_000
DIGITS = 60
POINTS = 24
_ENOUGH = 3


def exact(node: Node) -> Fraction | None:
    """Return the rational value of a tree without symbols, or None where it has none or it is too large."""
    try:
        return _exact(node)
    except (_Inexact, ZeroDivisionError, OverflowError, ValueError):
        return None


class _Inexact(Exception):
    pass


def _exact(node: Node) -> Fraction:
    if node.kind == "num":
        assert node.value is not None
        return node.value
    if node.kind == "pow":
        return _exact_power(_exact(node.args[0]), _exact(node.args[1]))
    if node.kind == "fact":
        return Fraction(_factorial(_exact(node.args[0])))
    if node.kind == "call" and node.name == "binom" and len(node.args) == 2:
        return _exact_binomial(*map(_exact, node.args))
    values = [_exact(arg) for arg in node.args]
    if node.kind == "add":
        return _bounded(sum(values, Fraction(0)))
    if node.kind == "mul":
        return _bounded(values[0] * values[1])
    if node.kind == "div":
        return _bounded(values[0] / values[1])
    if node.kind == "neg":
        return -values[0]
    if node.kind == "abs":
        return abs(values[0])
    if node.kind == "pct":
        return values[0] / 100
    if node.kind == "call" and node.name in ("floor", "ceil") and len(values) == 1:
        whole = values[0].__floor__() if node.name == "floor" else values[0].__ceil__()
        return Fraction(whole)
    if node.kind == "call" and node.name in ("sqrt", "root"):
        return _exact_root(values[0], values[1] if node.name == "root" else Fraction(2))
    raise _Inexact


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > 2 * MOST_BITS:
        raise _Inexact
    return value


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        return _exact_power(_exact_root(base, Fraction(exponent.denominator)), Fraction(exponent.numerator))
    bits = max(base.numerator.bit_length(), base.denominator.bit_length(), 1)
    if abs(exponent) * bits > MOST_BITS:
        raise _Inexact
    return base ** int(exponent)


def _exact_root(value: Fraction, order: Fraction) -> Fraction:
    if order.denominator != 1 or not 0 < order <= 60 or value < 0:
        raise _Inexact
    top, bottom = (_integer_root(part, int(order)) for part in (value.numerator, value.denominator))
    return Fraction(top, bottom)


def _integer_root(value: int, order: int) -> int:
    low, high = 0, 1 << (value.bit_length() // order + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**order < value:
            low = middle + 1
        else:
            high = middle
    if low**order != value:
        raise _Inexact
    return low


def _factorial(value: Fraction) -> int:
    if value.denominator != 1 or not 0 <= value <= 3_000:
        raise _Inexact
    product = 1
    for factor in range(2, int(value) + 1):
        product *= factor
    return product


def _exact_binomial(n: Fraction, k: Fraction) -> Fraction:
    if n.denominator != 1 or k.denominator != 1 or not 0 <= k <= n or n > 3_000:
        raise _Inexact
    import math

    return Fraction(math.comb(int(n), int(k)))


def number(node: Node, at: Mapping[str, Any], degrees: bool = True) -> Any:
    """Return the value of a tree as an mpmath number, or None where it has none at this point.

    at: symbol -> value. Raises Unread for a tree that is no expression (a list, a plus-minus).
    """
    import mpmath

    try:
        value = _number(node, at, mpmath.mp)
    except (ZeroDivisionError, OverflowError, ValueError, ArithmeticError, mpmath.libmp.NoConvergence):
        return None
    return value if mpmath.isfinite(value) else None


def _number(node: Node, at: Mapping[str, Any], mp: Any) -> Any:
    kind = node.kind
    if kind == "num":
        assert node.value is not None
        return mp.mpf(node.value.numerator) / node.value.denominator
    if kind == "sym":
        constants = {"pi": mp.pi, "e": mp.e, "i": mp.j, "inf": mp.inf}
        return constants[node.name] if node.name in constants else at[node.name]
    if kind == "call":
        return _call(node, [_number(arg, at, mp) for arg in node.args], mp)
    if kind not in _ARITHMETIC:
        raise Unread(kind)
    values = [_number(arg, at, mp) for arg in node.args]
    if kind == "pow":
        return _power(values[0], values[1], node.args[1], mp)
    if kind == "fact":
        if abs(values[0]) > 1e5:
            raise OverflowError
        return mp.gamma(values[0] + 1)
    return _ARITHMETIC[kind](values, mp)


_ARITHMETIC: dict[str, Any] = {
    "add": lambda v, mp: mp.fsum(v),
    "mul": lambda v, mp: v[0] * v[1],
    "div": lambda v, mp: v[0] / v[1],
    "neg": lambda v, mp: -v[0],
    "abs": lambda v, mp: abs(v[0]),
    "pct": lambda v, mp: v[0] / 100,
    "deg": lambda v, mp: v[0] * mp.pi / 180,
    "pow": None,
    "fact": None,
}


def _power(base: Any, exponent: Any, node: Node, mp: Any) -> Any:
    """A power; an odd root of a negative number is the real one."""
    if abs(exponent) > 1e6 or (abs(exponent) > 1 and abs(mp.log(abs(base) + 1e-300)) * abs(exponent) > 1e7):
        raise OverflowError
    if mp.im(base) == 0 and mp.re(base) < 0:
        power = exact(node)
        if power is not None and power.denominator % 2 == 1 and power.denominator > 1:
            root = -mp.root(-base, power.denominator)
            return root**power.numerator
    return base**exponent


def _call(node: Node, values: list[Any], mp: Any) -> Any:
    name = node.name
    if name.startswith("opaque "):
        return _opaque(name, values, mp)
    if name in ("max", "min") and values and all(mp.im(v) == 0 for v in values):
        return (max if name == "max" else min)(values)
    if name in ("gcd", "lcm"):
        raise Unread(name)
    if (
        name == "root"
        and mp.im(values[0]) == 0
        and values[0] < 0
        and values[1] == int(values[1])
        and int(values[1]) % 2
    ):
        return -mp.root(-values[0], int(values[1]))
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Unread(name)
    return function(mp, *values)


def _of_mpmath(name: str) -> Any:
    return lambda mp, x: getattr(mp, name)(x)


_CIRCULAR = ("sin", "cos", "tan", "cot", "sec", "csc")
_PLAIN = (*_CIRCULAR, "sinh", "cosh", "tanh", "coth", "exp", "sqrt", "floor", "ceil")
_FUNCTIONS: dict[str, Any] = {
    **{name: _of_mpmath(name) for name in _PLAIN},
    **{f"arc{name}": _of_mpmath(f"a{name}") for name in _CIRCULAR},
    "arsinh": lambda mp, x: mp.asinh(x), "arcosh": lambda mp, x: mp.acosh(x), "artanh": lambda mp, x: mp.atanh(x),
    "ln": lambda mp, x: mp.log(x), "log": lambda mp, x: mp.log(x), "lg": lambda mp, x: mp.log(x, 10),
    "logb": lambda mp, b, x: mp.log(x) / mp.log(b), "root": lambda mp, x, n: x ** (1 / n), "abs": lambda mp, x: abs(x),
    "binom": lambda mp, n, k: mp.binomial(n, k), "sgn": lambda mp, x: mp.sign(x),
}  # fmt: skip


def _opaque(name: str, values: list[Any], mp: Any) -> Any:
    """A stand-in for an unknown function: smooth, and another one for each name."""
    total = mp.mpf(0)
    for place, value in enumerate(values):
        seed = random.Random(f"{name} {place}")
        total += seed.uniform(1, 2) * mp.sin(seed.uniform(0.3, 0.9) * value + seed.uniform(0, 1)) + value / 3
    return total


def points(symbols: set[str], *, negative: bool) -> list[dict[str, Any]]:
    """Return points to compare two expressions at: the same symbol has the same value whatever the expression."""
    import mpmath

    found = []
    for number_of in range(POINTS):
        at = {}
        for name in symbols:
            digest = hashlib.sha256(f"{number_of} {name}".encode()).digest()
            share = mpmath.mpf(int.from_bytes(digest[:16], "big")) / mpmath.mpf(1 << 128)
            value = (
                (share * mpmath.mpf("0.9") + mpmath.mpf("0.05"))
                if number_of % 3 == 0
                else share * 3 + mpmath.mpf("0.1")
            )
            at[name] = -value if negative and digest[16] % 2 else value
        found.append(at)
    return found


def same_value(one: Node, other: Node, tolerance: float = 0.0) -> bool | None:
    """Return whether two expressions have the same value wherever both have one; None where that cannot be seen.

    Symbols stand for positive numbers, and for numbers of both signs where a modulus is taken. tolerance: relative.
    """
    import mpmath

    exact_one, exact_other = (None, None) if tolerance else (exact(one), exact(other))
    if exact_one is not None and exact_other is not None:
        return exact_one == exact_other
    symbols = one.symbols() | other.symbols()
    signs = any(n.kind == "abs" or n.name == "abs" for tree in (one, other) for n in tree.walk())
    with mpmath.workdps(DIGITS + (40 if not symbols else 0)):
        at = points(symbols, negative=signs) if symbols else [{}]
        pairs = [(number(one, point), number(other, point)) for point in at]
        return _agree(pairs, tolerance, len(symbols), mpmath)


def _agree(pairs: list[tuple[Any, Any]], tolerance: float, symbols: int, mpmath: Any) -> bool | None:
    whole = [(a, b) for a, b in pairs if a is not None and b is not None]
    real = [(a, b) for a, b in whole if not _is_complex(a, mpmath) and not _is_complex(b, mpmath)]
    if any(_is_complex(a, mpmath) != _is_complex(b, mpmath) for a, b in whole) and not real:
        return False
    compared = real or whole
    slack = tolerance or 10.0 ** -(DIGITS - 25)
    if any(not _near(a, b, slack, mpmath) for a, b in compared):
        return False
    if symbols and len(compared) < _ENOUGH:
        return None
    return True if compared else None


def _is_complex(value: Any, mpmath: Any) -> bool:
    return bool(abs(mpmath.im(value)) > mpmath.mpf(10) ** -(DIGITS - 25) * max(1, abs(value)))


def _near(a: Any, b: Any, slack: float, mpmath: Any) -> bool:
    largest = max(abs(a), abs(b))
    return bool(largest == 0 or abs(a - b) <= mpmath.mpf(slack) * largest)
