"""Whether two forms are the same answer: lists, relations and sets, down to the values in them."""

from dataclasses import replace

from ringlite_cli.rewards.reading.equations import (
    components,
    label,
    named_point,
    same_equation,
    same_ratio,
    states_a_result,
)
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
from ringlite_cli.rewards.reading.same_values import EXACT, Rules, same_quantity, tree_key
from ringlite_cli.rewards.reading.sets import is_set_like, real_set, same_set
from ringlite_cli.rewards.reading.signs import written_out
from ringlite_cli.rewards.reading.tokens import Unread

_MOST_ITEMS = 60


def same(gold: Form, answer: Form, rules: Rules = EXACT) -> bool:
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
    if len(golds) != len(answers) and {is_set_like(gold), is_set_like(answer)} == {True, False}:
        listed = gold if is_set_like(answer) else answer
        if isinstance(listed, Items) and not listed.brackets and len(set(_labels(list(listed.items)))) == 1:
            return _same_as_sets(gold, answer, rules)
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
        return same_ratio(gold, answer)
    if is_set_like(gold) or is_set_like(answer):
        return _same_as_sets(gold, answer, rules)
    if isinstance(gold, Labelled) or isinstance(answer, Labelled):
        return _same_labelled(gold, answer, rules, bound)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _same_relation(gold, answer, rules, bound)
    if isinstance(gold, Value) and isinstance(answer, Value):
        return same_quantity(gold, answer, rules, bound)
    if isinstance(gold, Items) or isinstance(answer, Items):
        return _same_items(gold, answer, rules, bound)
    if isinstance(gold, Words) and isinstance(answer, Words):
        return gold.text.split() == answer.text.split()
    return isinstance(gold, Ellipsis_) and isinstance(answer, Ellipsis_)


# Lists


def _same_items(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    if isinstance(gold, Value) and (found := components(gold.node) or named_point(gold)) is not None:
        gold = found
    if isinstance(answer, Value) and (found := components(answer.node) or named_point(answer)) is not None:
        answer = found
    if not isinstance(gold, Items) or not isinstance(answer, Items):
        return _single(gold, answer, rules, bound)
    brackets = {gold.brackets, answer.brackets}
    if any(isinstance(item, Ellipsis_) for form in (gold, answer) for item in form.items):
        return _same_with_dots(gold.items, answer.items, rules, bound)
    if "matrix" in brackets and len(brackets) > 1:
        rows = [_as_rows(form) for form in (gold, answer)]
        return bool(rows[0] and rows[1]) and _same_items(rows[0], rows[1], rules, bound)  # type: ignore[arg-type]
    if "{}" in brackets:
        return brackets <= {"{}", ""} and _same_multiset(_distinct(gold, rules), _distinct(answer, rules), rules, bound)
    if brackets <= {""}:
        return _same_multiset(list(gold.items), list(answer.items), rules, bound)
    if brackets == {"()", "[]"} and len(gold.items) == 2:
        return False  # an open interval or a pair is no closed interval
    return len(gold.items) == len(answer.items) and all(
        _same(one, two, rules, bound) for one, two in zip(gold.items, answer.items, strict=True)
    )


def _as_rows(form: Items) -> Items | None:
    """Return a matrix, or a list of lists of one length, as a matrix; None for anything else."""
    rows = [item for item in form.items if isinstance(item, Items) and item.brackets in ("()", "[]")]
    if form.brackets not in ("matrix", "[]") or len(rows) < len(form.items) or len({len(r.items) for r in rows}) != 1:
        return None
    return replace(form, brackets="matrix", items=tuple(replace(row, brackets="()") for row in rows))


def _single(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    """One item in brackets of a list is that item; of a set only another set's."""
    for one, two, turned in ((gold, answer, False), (answer, gold, True)):
        if isinstance(one, Items) and one.brackets in ("[]", "") and len(one.items) == 1:
            return _same(two, one.items[0], rules, bound) if turned else _same(one.items[0], two, rules, bound)
    return False


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


def _same_labelled(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    one, two = label(gold), label(answer)
    if one[0] and two[0] and one[0].casefold() != two[0].casefold():
        return False
    return _same(one[2], two[2], rules, bound)


def _same_relation(gold: Form, answer: Form, rules: Rules, bound: frozenset[str]) -> bool:
    one, two = label(gold), label(answer)
    if one[0] and two[0]:
        return _same_named(one, two, rules, bound) or same_equation(gold, answer)
    if one[0] or two[0]:
        bare = answer if one[0] else gold
        if not isinstance(bare, Relation):
            names = one[1] or two[1]
            return _same(one[2], two[2], rules, bound | frozenset(names))
    if isinstance(gold, Value) and isinstance(answer, Relation) and states_a_result(answer):
        return _same(gold, answer.sides[-1], rules, bound)
    if not isinstance(gold, Relation) or not isinstance(answer, Relation):
        return same_equation(gold, answer)
    if gold.signs == answer.signs and len(gold.sides) == len(answer.sides) and set(gold.signs) - {"="}:
        return all(_same(a, b, rules, bound) for a, b in zip(gold.sides, answer.sides, strict=True))
    return same_equation(gold, answer)


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
    if isinstance(gold, Value) and isinstance(answer, Value) and tree_key(gold.node) == tree_key(answer.node):
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
