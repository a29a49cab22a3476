"""Whether two numbers or expressions are equal, with the slack that their decimals, units and signs leave."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ringlite_cli.rewards.reading.atoms import BASED
from ringlite_cli.rewards.reading.forms import RADIANS, Value
from ringlite_cli.rewards.reading.tree import Node, num
from ringlite_cli.rewards.reading.values import exact, same_value
from ringlite_cli.rewards.units import read_unit

_PARAMETERS = {"k", "n", "m", "l", "j", "ell", "N", "K", "t", "s", "c", "C"}
_WHOLE = {"k", "n", "m", "l", "j", "ell", "N", "K"}
_FEW = 6
"""Significant digits from which a rounded decimal stands for an exact number."""
_CLOSE = Fraction(1, 10**6)


@dataclass(frozen=True, slots=True)
class Rules:
    """tolerance: relative, of numbers in science; 0 in mathematics."""

    tolerance: float = 0.0


EXACT = Rules()


def same_quantity(gold: Value, answer: Value, rules: Rules, bound: frozenset[str]) -> bool:
    """Return whether two values are equal, units of one dimension converted into each other."""
    if gold.words and answer.words and _unit_key(gold.words) != _unit_key(answer.words):
        one, two = read_unit(gold.words), read_unit(answer.words)
        if one is None or two is None or one.dimension != two.dimension:
            return False
        factors = (Fraction(one.factor).limit_denominator(10**12), Fraction(two.factor).limit_denominator(10**12))
        scaled = [Node("mul", (v.node, num(f))) for v, f in zip((gold, answer), factors, strict=True)]
        return bool(same_value(scaled[0], scaled[1], max(rules.tolerance, 1e-6)))
    if RADIANS in (gold.words, answer.words) and "deg" in (gold.node.kind, answer.node.kind):
        return _equal(gold.node, answer.node, rules)
    return same_expression(gold.node, answer.node, rules, bound)


def _unit_key(words: str) -> str:
    return " ".join(w.removesuffix("s") if len(w) > 3 else w for w in words.casefold().replace("-", " ").split())


def same_expression(gold: Node, answer: Node, rules: Rules, bound: frozenset[str] = frozenset()) -> bool:
    """Return whether two expressions are equal, with the slack that their decimals leave."""
    pairs = [(gold, answer), *_read_loosely(gold, answer)]
    return (
        any(_equal(one, two, rules) for one, two in pairs)
        or _equal_renamed(gold, answer, rules, bound)
        or _equal_integrals(gold, answer)
    )


def _read_loosely(gold: Node, answer: Node) -> list[tuple[Node, Node]]:
    """Return every reading of a value: 25 % is 25 or 0.25, 45 degrees is 45 where the other side has no sign."""
    pairs = []
    for kind in ("pct", "deg"):
        if (gold.kind == kind) != (answer.kind == kind):
            if kind == "pct" and not _at_least_one(answer if gold.kind == kind else gold):
                continue  # a share, and not a number of percent
            one = gold.args[0] if gold.kind == kind else gold
            two = answer.args[0] if answer.kind == kind else answer
            if kind == "pct" or not any(n.kind == "sym" for tree in (one, two) for n in tree.walk()):
                pairs.append((one, two))
    return pairs


def _at_least_one(node: Node) -> bool:
    value = exact(node) if not node.symbols() else None
    return value is None or abs(value) >= 1


def _is_without_base(gold: Node, answer: Node) -> bool:
    """Return whether an answer gives the digits of a number in another base, and leaves out the base."""
    return gold.kind == "sym" and answer.kind == "num" and gold.name.startswith(f"{BASED}{answer.value}_")


def _equal(gold: Node, answer: Node, rules: Rules) -> bool:
    if _is_without_base(gold, answer):
        return True
    numeric = not gold.symbols() and not answer.symbols()
    if numeric and rules.tolerance and not (_is_whole(gold) and _is_whole(answer)):
        return bool(same_value(gold, answer, rules.tolerance))
    wanted, got = written(gold), written(answer)
    slack = _slack(wanted, got) if numeric else Fraction(0)
    if slack:
        return _within(gold, answer, slack)
    found = same_value(gold, answer)
    return found if found is not None else tree_key(gold) == tree_key(answer)


def _is_whole(node: Node) -> bool:
    node = node.args[0] if node.kind == "neg" else node
    return node.kind == "num" and node.decimal is None


def written(node: Node) -> Decimal | None:
    """Return a number as it was written, where a decimal point or an exponent stands in it: 2.50, 1.5e3, 1.5 * 10^3."""
    if node.kind == "neg":
        inner = written(node.args[0])
        return -inner if inner is not None else None
    if node.kind == "num":
        return node.decimal
    if node.kind == "mul" and node.args[0].decimal is not None:
        power = node.args[1]
        if (
            power.kind == "pow"
            and power.args[0].value == 10
            and (e := exact(power.args[1])) is not None
            and abs(e) < 400
        ):
            return node.args[0].decimal.scaleb(int(e)) if e.denominator == 1 else None
    return None


def _half_place(value: Decimal) -> Fraction:
    exponent = value.as_tuple().exponent
    return Fraction(10) ** int(exponent) / 2


def _digits(value: Decimal) -> int:
    return len(value.as_tuple().digits)


def _slack(gold: Decimal | None, answer: Decimal | None) -> Fraction:
    """Return how far an answer may be from a gold number, from how both were written. 0 for exact numbers."""
    slack = Fraction(0)
    if gold is not None:
        slack = min(_half_place(gold), abs(Fraction(gold)) * _CLOSE)
        if answer is None and _digits(gold) > 2:  # an exact answer to a rounded gold
            slack = max(slack, min(_half_place(gold), abs(Fraction(gold)) / 200))
    if answer is not None and gold is None and _digits(answer) >= _FEW:
        slack = max(slack, _half_place(answer))
    return slack


def _within(gold: Node, answer: Node, slack: Fraction) -> bool:
    import mpmath

    from ringlite_cli.rewards.reading.values import number

    one, two = exact(gold), exact(answer)
    if one is not None and two is not None:
        return abs(one - two) <= slack
    with mpmath.workdps(60):
        a, b = number(gold, {}), number(answer, {})
        return a is not None and b is not None and bool(abs(a - b) <= mpmath.mpf(slack.numerator) / slack.denominator)


def _equal_renamed(gold: Node, answer: Node, rules: Rules, bound: frozenset[str]) -> bool:
    """k pi and n pi: a parameter may have another name."""
    mine, theirs = gold.symbols() - answer.symbols(), answer.symbols() - gold.symbols()
    if len(mine) != 1 or len(theirs) != 1:
        return False
    old, new = theirs.pop(), mine.pop()
    periodic = {old, new} <= _WHOLE and any(n.name == "pi" for n in gold.walk())
    declared = bool({old, new} & bound) and old in _PARAMETERS | bound | {"x"} and new in _PARAMETERS | bound | {"x"}
    return (periodic or declared) and _equal(gold, answer.renamed({old: new}), rules)


def _equal_integrals(gold: Node, answer: Node) -> bool:
    """Return whether two expressions with a constant of integration, x^2 + C and x^2 + c, differ by a number alone."""
    one, two = _without_constant(gold, _GOLD_CONSTANTS), _without_constant(answer, _GOLD_CONSTANTS | {"c", "k", "K"})
    if one is None or two is None or one.symbols() != two.symbols() or len(one.symbols()) != 1:
        return False
    if same_value(one, two):
        return True
    symbol = one.symbols().pop()
    apart = Node("add", (one, Node("neg", (two,))))
    return bool(same_value(apart, apart.renamed({symbol: f"{symbol} elsewhere"})))


_GOLD_CONSTANTS = {"C", "C_1", "C_0"}


def _without_constant(node: Node, names: set[str]) -> Node | None:
    """Return a sum without its constant of integration, of which it has one; None for anything else."""
    if node.kind != "add":
        return None
    terms = [t.args[0] if t.kind == "neg" else t for t in node.args]
    places = [i for i, term in enumerate(terms) if term.kind == "sym" and term.name in names]
    if len(places) != 1:
        return None
    rest = [arg for i, arg in enumerate(node.args) if i != places[0]]
    left = rest[0] if len(rest) == 1 else Node("add", tuple(rest))
    variables = left.symbols()
    return left if variables <= set("xtyuvszr") | {"theta"} and variables else None


def tree_key(node: Node) -> tuple[Any, ...]:
    """Return a tree as nested tuples, the same for sums and products in any order."""
    args = [tree_key(arg) for arg in node.args]
    if node.kind in ("add", "mul"):
        args.sort(key=repr)
    return (node.kind, node.name, node.value, *args)
