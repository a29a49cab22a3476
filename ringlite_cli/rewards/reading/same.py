"""Whether two forms are the same answer."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ringlite_cli.rewards.reading.answers import as_items
from ringlite_cli.rewards.reading.expressions import BASED
from ringlite_cli.rewards.reading.forms import (
    Builder,
    Ellipsis_,
    Form,
    Items,
    Labelled,
    Numbers,
    Ratio,
    Relation,
    SetOperation,
    Value,
    Words,
)
from ringlite_cli.rewards.reading.sets import is_set_like, real_set, same_set
from ringlite_cli.rewards.reading.signs import written_out
from ringlite_cli.rewards.reading.tokens import Unread
from ringlite_cli.rewards.reading.tree import Node, num
from ringlite_cli.rewards.reading.values import exact, same_value
from ringlite_cli.rewards.units import read_unit

_PARAMETERS = {"k", "n", "m", "l", "j", "ell", "N", "K", "t", "s", "c", "C"}
_WHOLE = {"k", "n", "m", "l", "j", "ell", "N", "K"}
_FEW = 6
"""Significant digits from which a rounded decimal stands for an exact number."""
_CLOSE = Fraction(1, 10**6)
_MOST_ITEMS = 60


@dataclass(frozen=True, slots=True)
class Rules:
    """tolerance: relative, of numbers in science; 0 in mathematics."""

    tolerance: float = 0.0


def same(gold: Form, answer: Form, rules: Rules = Rules()) -> bool:
    """Return whether an answer is the gold one. Both were read whole."""
    bound = gold.quantified | answer.quantified
    if _joined_apart(gold, answer):
        return False
    if _is_bracketed(gold) or _is_bracketed(answer):
        return any(_same(a, b, rules, bound) for a in _alone(gold) for b in _alone(answer)) or _same_spread(
            gold, answer, rules, bound
        )
    return _same_spread(gold, answer, rules, bound)


def _joined_apart(gold: Form, answer: Form) -> bool:
    """Whether one joins symbols by "and", the other by "or": P and Q is not P or Q; numbers are listed either way."""
    if not isinstance(gold, Items) or not isinstance(answer, Items) or {gold.joiner, answer.joiner} != {"and", "or"}:
        return False
    return all(isinstance(i, Value) and i.node.kind == "sym" for form in (gold, answer) for i in form.items)


def _same_spread(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    golds, answers = _spread(gold), _spread(answer)
    if len(golds) > 1 or len(answers) > 1:
        return _same_multiset(golds, answers, rules, bound)
    return _same(golds[0], answers[0], rules, bound)


def _is_bracketed(form: Form) -> bool:
    return isinstance(form, Items) and bool(form.brackets)


def _alone(form: Form) -> list[Form]:
    """A form with its signs written out, as one form."""
    found = written_out(form)
    return found if len(found) == 1 else [Items(tuple(found))]


def _spread(form: Form) -> list[Form]:
    """A form with its signs written out; the items of a bare list, with theirs."""
    if isinstance(form, Items) and not form.brackets and not is_set_like(form):
        return [each for item in form.items for each in written_out(item)]
    return written_out(form) if not is_set_like(form) else [form]


def _same(gold: Form, answer: Form, rules: Rules, bound: frozenset[str] = frozenset()) -> bool:
    if isinstance(gold, Ratio) or isinstance(answer, Ratio):
        return _same_ratio(gold, answer)
    if is_set_like(gold) or is_set_like(answer):
        return _same_as_sets(gold, answer, rules)
    if isinstance(gold, Labelled) or isinstance(answer, Labelled):
        return _same_labelled(gold, answer, rules, bound)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _same_relation(gold, answer, rules, bound)
    if isinstance(gold, Value) and isinstance(answer, Value):
        return _same_quantity(gold, answer, rules, bound)
    if isinstance(gold, Items) or isinstance(answer, Items):
        return _same_items(gold, answer, rules, bound)
    if isinstance(gold, Words) and isinstance(answer, Words):
        return gold.text.split() == answer.text.split()
    return isinstance(gold, Ellipsis_) and isinstance(answer, Ellipsis_)


# Numbers and expressions


def _same_quantity(gold: Value, answer: Value, rules: Rules, bound: frozenset[str]) -> bool:
    if gold.words and answer.words and _unit_key(gold.words) != _unit_key(answer.words):
        one, two = read_unit(gold.words), read_unit(answer.words)
        if one is None or two is None or one.dimension != two.dimension:
            return False
        factors = (Fraction(one.factor).limit_denominator(10**12), Fraction(two.factor).limit_denominator(10**12))
        scaled = [Node("mul", (v.node, num(f))) for v, f in zip((gold, answer), factors, strict=True)]
        return bool(same_value(scaled[0], scaled[1], max(rules.tolerance, 1e-6)))
    return same_expression(gold.node, answer.node, rules, bound)


def _unit_key(words: str) -> str:
    return " ".join(w.removesuffix("s") if len(w) > 3 else w for w in words.casefold().replace("-", " ").split())


def same_expression(gold: Node, answer: Node, rules: Rules, bound: frozenset[str] = frozenset()) -> bool:
    """Return whether two expressions are equal, with the slack that their decimals leave."""
    pairs = [(gold, answer), *_read_loosely(gold, answer)]
    return any(_equal(one, two, rules) for one, two in pairs) or _equal_renamed(gold, answer, rules, bound)


def _read_loosely(gold: Node, answer: Node) -> list[tuple[Node, Node]]:
    """25 % is 25 and 0.25, and 45 degrees is 45 where the other side has no sign of its own."""
    pairs = []
    for kind in ("pct", "deg"):
        if (gold.kind == kind) != (answer.kind == kind):
            if answer.kind == "pct" and not _at_least_one(gold):
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
    """Whether an answer gives the digits of a number in another base, and leaves out the base."""
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
    return found if found is not None else _key(gold) == _key(answer)


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
    """How far an answer may be from a gold number, from how both were written. 0 for exact numbers."""
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


def _key(node: Node) -> tuple[Any, ...]:
    """A tree as nested tuples, sums and products in any order."""
    args = [_key(arg) for arg in node.args]
    if node.kind in ("add", "mul"):
        args.sort(key=repr)
    return (node.kind, node.name, node.value, *args)


# Lists


def _same_items(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    if isinstance(gold, Value) and (found := _components(gold.node)) is not None:
        gold = found
    if isinstance(answer, Value) and (found := _components(answer.node)) is not None:
        answer = found
    if not isinstance(gold, Items) or not isinstance(answer, Items):
        return _single(gold, answer, rules, bound)
    brackets = {gold.brackets, answer.brackets}
    if any(isinstance(item, Ellipsis_) for form in (gold, answer) for item in form.items):
        return _same_with_dots(gold.items, answer.items, rules, bound)
    if "matrix" in brackets and len(brackets) > 1:
        return False
    if "{}" in brackets:
        return brackets <= {"{}", ""} and _same_multiset(_distinct(gold, rules), _distinct(answer, rules), rules, bound)
    if brackets <= {""}:
        return _same_multiset(list(gold.items), list(answer.items), rules, bound)
    if brackets == {"()", "[]"} and len(gold.items) == 2:
        return False  # an open interval or a pair is no closed interval
    return len(gold.items) == len(answer.items) and all(
        _same(one, two, rules, bound) for one, two in zip(gold.items, answer.items, strict=True)
    )


def _single(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    """One item in brackets of a list is that item; of a set only another set's."""
    for one, two, turned in ((gold, answer, False), (answer, gold, True)):
        if isinstance(one, Items) and one.brackets in ("[]", "") and len(one.items) == 1:
            return _same(two, one.items[0], rules, bound) if turned else _same(one.items[0], two, rules, bound)
    return False


def _components(node: Node) -> Items | None:
    """2i + 3j, written with unit vectors, as a tuple."""
    bases = {"hat i": 0, "hat j": 1, "hat k": 2, "mathbf i": 0, "mathbf j": 1, "mathbf k": 2, "hat \\imath": 0,
    "hat \\jmath": 1,
             "vec i": 0, "vec j": 1, "vec k": 2}  # fmt: skip
    terms = node.args if node.kind == "add" else (node,)
    entries: dict[int, Node] = {}
    for term in terms:
        negative = term.kind == "neg"
        term = term.args[0] if negative else term
        factor, base = (num(1), term) if term.kind == "sym" else term.args if term.kind == "mul" else (term, term)
        place = bases.get(base.name) if base.kind == "sym" else None
        if place is None or place in entries or any(n.name in bases for n in factor.walk()):
            return None
        entries[place] = Node("neg", (factor,)) if negative else factor
    length = max(max(entries) + 1, 2)
    return Items(tuple(Value(entries.get(place, num(0))) for place in range(length)), "()")


def _distinct(form: Items, rules: Rules) -> list[Form]:
    found: list[Form] = []
    for item in form.items:
        for each in written_out(item):
            if not any(_same(each, other, rules) for other in found):
                found.append(each)
    return found


def _same_multiset(golds: list[Form], answers: list[Form], rules: Rules, bound: frozenset[str]) -> bool:
    """The same items in any order; where both have labels of their own, by label."""
    golds = [each for form in golds for each in _opened(form)]
    answers = [each for form in answers for each in _opened(form)]
    if any(isinstance(item, Ellipsis_) for item in (*golds, *answers)):
        return _same_with_dots(tuple(golds), tuple(answers), rules, bound)
    if len(golds) != len(answers) or len(golds) > _MOST_ITEMS:
        return False
    if all(isinstance(item, Words) for item in (*golds, *answers)) or _labels(golds) != _labels(answers):
        in_order = all(_same(one, two, rules, bound) for one, two in zip(golds, answers, strict=True))
        if in_order or len(set(_labels(golds)) | set(_labels(answers))) > 2:
            return in_order
    left = list(answers)
    for gold in golds:
        place = next((i for i, answer in enumerate(left) if _same(gold, answer, rules, bound)), None)
        if place is None:
            return False
        left.pop(place)
    return True


def _labels(forms: list[Form]) -> list[str]:
    return [label(form)[0] if isinstance(form, Relation | Labelled) else "" for form in forms]


def _opened(form: Form) -> list[Form]:
    """(f, g) = (n, 1) as two equations; a bare list as its items."""
    if isinstance(form, Relation) and form.signs == ("=",):
        left, right = form.sides
        if isinstance(left, Items) and isinstance(right, Items) and len(left.items) == len(right.items):
            return [Relation((a, b), ("=",)) for a, b in zip(left.items, right.items, strict=True)]
    if isinstance(form, Items) and not form.brackets:
        return [each for item in form.items for each in written_out(item)]
    return [form]


def _same_with_dots(golds: tuple[Form, ...], answers: tuple[Form, ...], rules: Rules, bound: frozenset[str]) -> bool:
    """1, 2, ..., n and 1, 2, 3, ..., n: one of the two shows more of the same beginning."""
    cut = [next((i for i, f in enumerate(forms) if isinstance(f, Ellipsis_)), None) for forms in (golds, answers)]
    if cut[0] is None or cut[1] is None:
        return False
    heads, tails = (golds[: cut[0]], answers[: cut[1]]), (golds[cut[0] + 1 :], answers[cut[1] + 1 :])
    short = min(map(len, heads))
    if short < 2 or len(tails[0]) != len(tails[1]):
        return False
    pairs = [*zip(heads[0], heads[1], strict=False), *zip(tails[0], tails[1], strict=True)]
    return all(_same(one, two, rules, bound) for one, two in pairs)


# Relations


def label(form: Form) -> tuple[str, tuple[str, ...], Form]:
    """Return (what is named, its arguments' names, what it is); ("", (), form) without a label.

    `f(x) = 2x` names f of x.
    """
    if isinstance(form, Labelled):
        return form.label, (), form.form
    if isinstance(form, Relation) and set(form.signs) <= {"=", "approx"}:
        left = form.sides[0]
        if isinstance(left, Value) and not left.words:
            if left.node.kind == "sym" and left.node.name not in ("pi", "e", "i", "inf"):
                return left.node.name, (), form.sides[-1]
            if left.node.kind == "call" and left.node.name.startswith("opaque "):
                names = tuple(arg.name for arg in left.node.args)
                return left.node.name.removeprefix("opaque "), names, form.sides[-1]
            if left.node.kind == "mul" and _is_segment(left.node):
                return "segment", (), form.sides[-1]
        if isinstance(left, Items):
            return "tuple", (), form.sides[-1]
    return "", (), form


def _is_segment(node: Node) -> bool:
    return all(n.kind == "mul" or (n.kind == "sym" and n.name.isupper()) for n in node.walk())


def _same_labelled(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    one, two = label(gold), label(answer)
    if one[0] and two[0] and one[0].casefold() != two[0].casefold():
        return False
    return _same(one[2], two[2], rules, bound)


def _same_relation(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    one, two = label(gold), label(answer)
    if one[0] and two[0]:
        return _same_named(one, two, rules, bound) or _same_equation(gold, answer)
    if one[0] or two[0]:
        bare = answer if one[0] else gold
        if not isinstance(bare, Relation):
            names = one[1] or two[1]
            return _same(one[2], two[2], rules, bound | frozenset(names))
    if isinstance(gold, Value) and isinstance(answer, Relation) and _states_a_result(answer):
        return _same(gold, answer.sides[-1], rules, bound)
    if not isinstance(gold, Relation) or not isinstance(answer, Relation):
        return _same_equation(gold, answer)
    if gold.signs == answer.signs and len(gold.sides) == len(answer.sides) and set(gold.signs) - {"="}:
        return all(_same(a, b, rules, bound) for a, b in zip(gold.sides, answer.sides, strict=True))
    return _same_equation(gold, answer)


def _states_a_result(answer: Relation) -> bool:
    """Whether an equation tells what a sum of letters, an angle or a calculation comes to: a + b = 7, 3 + 4 = 7."""
    left, right = answer.sides[0], answer.sides[-1]
    if set(answer.signs) != {"="} or not isinstance(left, Value) or not isinstance(right, Value) or left.words:
        return False
    node = left.node
    if right.node.symbols():
        return False
    if not node.symbols():
        return bool(same_value(node, right.node))
    angle = node.kind == "mul" and node.args[0].name in ("angle", "triangle")
    return angle or (node.kind == "add" and all(term.kind == "sym" for term in node.args))


def _same_named(
    one: tuple[str, tuple[str, ...], Form], two: tuple[str, tuple[str, ...], Form], rules: Rules, bound: frozenset[str]
) -> bool:
    """x = 5 and x = 5; f(x) = 2x, f(t) = 2t and y = 2x; not x = 5 and y = 5."""
    functions = [name in ("y", "f") or bool(args) for name, args, _ in (one, two)]
    same_name = one[0] == two[0] or (all(functions) and "y" in (one[0], two[0]))
    if not same_name:
        return False
    right = two[2]
    if one[1] and two[1] and len(one[1]) == len(two[1]) and isinstance(right, Value):
        if one[1] != two[1] and not all(one[1] + two[1]):
            return False  # T(10) = 2 and T(11) = 2
        right = replace(right, node=right.node.renamed(dict(zip(two[1], one[1], strict=True))))
    return _same(one[2], right, rules, bound)


def _difference(form: Form) -> Node | None:
    if isinstance(form, Relation) and form.signs == ("=",):
        left, right = form.sides
        if isinstance(left, Value) and isinstance(right, Value) and not left.words and not right.words:
            return Node("add", (left.node, Node("neg", (right.node,))))
    return None


def _same_equation(gold: Form, answer: Form) -> bool:
    """Two equations whose differences of sides are in a constant ratio; or one, solved for a symbol by the other."""
    one, two = _difference(gold), _difference(answer)
    if one is not None and two is not None:
        if not one.symbols() and not two.symbols():
            return isinstance(gold, Relation) and isinstance(answer, Relation) and all(
                isinstance(a, Value) and isinstance(b, Value) and _key(a.node) == _key(b.node)
                for a, b in zip(gold.sides, answer.sides, strict=True)
            )  # fmt: skip
        return one.symbols() == two.symbols() and _in_ratio(one, two)
    equation, plain = (one, answer) if one is not None else (two, gold)
    if equation is None or not isinstance(plain, Value) or plain.words:
        return False
    for symbol in sorted(equation.symbols() - plain.node.symbols()):
        solved = Node("add", (Node("sym", name=symbol), Node("neg", (plain.node,))))
        if solved.symbols() == equation.symbols() and _in_ratio(equation, solved):
            return True
    return False


def _in_ratio(one: Node, two: Node) -> bool:
    """Whether two expressions are the same up to a constant factor that is not 0, at many points."""
    import mpmath

    from ringlite_cli.rewards.reading.values import number, points

    with mpmath.workdps(60):
        ratios = []
        for point in points(one.symbols() | two.symbols(), negative=True):
            a, b = number(one, point), number(two, point)
            if a is None or b is None:
                continue
            if abs(a) < 1e-30 or abs(b) < 1e-30:
                if abs(a - b) > 1e-25:
                    return False
                continue
            ratios.append(a / b)
        return len(ratios) >= 3 and all(abs(r - ratios[0]) <= 1e-30 * abs(ratios[0]) for r in ratios)


# Sets and ratios


def _same_as_sets(gold: Form, answer: Form, rules: Rules) -> bool:
    if isinstance(gold, Numbers) and isinstance(answer, Numbers):
        return gold.name == answer.name
    try:
        return same_set(real_set(_of_solutions(gold)), real_set(_of_solutions(answer)))
    except Unread:
        return _same_structure(gold, answer, rules)


def _of_solutions(form: Form) -> Form:
    return form.form if isinstance(form, Labelled) else form


def _same_structure(gold: Form, answer: Form, rules: Rules) -> bool:
    """Sets with symbols in them: part by part."""
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        if gold.signs == ("in",) or answer.signs == ("in",):
            one = gold.sides[1] if gold.signs == ("in",) else gold
            two = answer.sides[1] if answer.signs == ("in",) else answer
            return (
                gold.signs == answer.signs and _same(one, two, rules) and _same(gold.sides[0], answer.sides[0], rules)
            )
        return _same_inequality(gold, answer, rules)
    if isinstance(gold, Relation) and gold.signs == ("in",):
        return _same(gold.sides[1], answer, rules)
    if isinstance(answer, Relation) and answer.signs == ("in",):
        return _same(gold, answer.sides[1], rules)
    if isinstance(gold, SetOperation) and isinstance(answer, SetOperation):
        return (
            gold.sign == answer.sign and _same(gold.left, answer.left, rules) and _same(gold.right, answer.right, rules)
        )
    if isinstance(gold, Builder) and isinstance(answer, Builder):
        return _same(gold.element, answer.element, rules) and same(gold.condition, answer.condition, rules)
    if isinstance(gold, Items) and isinstance(answer, Items) and gold.brackets == answer.brackets:
        if not gold.brackets:
            return gold.joiner == answer.joiner and _same_multiset(
                list(gold.items), list(answer.items), rules, frozenset()
            )
        return len(gold.items) == len(answer.items) and all(
            _same_end(a, b, rules) for a, b in zip(gold.items, answer.items, strict=True)
        )
    return False


def _same_end(gold: Form, answer: Form, rules: Rules) -> bool:
    if isinstance(gold, Value) and isinstance(answer, Value) and _key(gold.node) == _key(answer.node):
        return True
    return _same(gold, answer, rules)


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}


def _same_inequality(gold: Relation, answer: Relation, rules: Rules) -> bool:
    """The same chain, as it stands or turned round; a single one up to a positive factor."""
    turned = Relation(answer.sides[::-1], tuple(_TURNED.get(sign, sign) for sign in answer.signs[::-1]))
    for each in (answer, turned):
        if each.signs == gold.signs and all(
            _same_end(a, b, rules) for a, b in zip(gold.sides, each.sides, strict=True)
        ):
            return True
    return False


def _same_ratio(gold: Form, answer: Form) -> bool:
    one, two = (_parts(form) for form in (gold, answer))
    if one is None or two is None or len(one) != len(two):
        return False
    return all(
        bool(same_value(Node("mul", (one[0], b)), Node("mul", (two[0], a))))
        for a, b in zip(one[1:], two[1:], strict=True)
    )


def _parts(form: Form) -> tuple[Node, ...] | None:
    if isinstance(form, Ratio):
        return form.parts
    if isinstance(form, Value) and not form.words and form.node.kind == "div":
        return form.node.args
    return None


__all__ = ["Rules", "as_items", "same", "same_expression", "written"]
