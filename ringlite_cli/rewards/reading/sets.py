"""Sets of real numbers: unions of intervals, from brackets, inequalities, conditions and operations."""

from dataclasses import dataclass
from typing import Any

from ringlite_cli.rewards.reading.forms import Builder, Form, Items, Numbers, Relation, SetOperation, Value
from ringlite_cli.rewards.reading.signs import expanded
from ringlite_cli.rewards.reading.tokens import Unread
from ringlite_cli.rewards.reading.tree import Node
from ringlite_cli.rewards.reading.values import number

_DIGITS = 50
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval of the real line. low, high: mpmath numbers, infinities included."""

    low: Any
    low_closed: bool
    high: Any
    high_closed: bool


Pieces = tuple[Piece, ...]


def is_set_like(form: Form) -> bool:
    """Whether a form speaks of a set of real numbers: an inequality, a union, a condition, a named set, (-inf, 2)."""
    if isinstance(form, SetOperation | Builder | Numbers):
        return True
    if isinstance(form, Relation):
        return any(sign in ("<", ">", "<=", ">=", "!=", "in") for sign in form.signs)
    if isinstance(form, Items):
        if form.brackets in ("(]", "[)") or (form.brackets in ("()", "[]") and any(map(_is_infinite, form.items))):
            return True
        return not form.brackets and any(map(is_set_like, form.items))
    return False


def _is_infinite(form: Form) -> bool:
    if not isinstance(form, Value):
        return False
    node = form.node.args[0] if form.node.kind == "neg" else form.node
    return node.kind == "sym" and node.name == "inf"


def real_set(form: Form) -> Pieces:
    """Return a form as a set of real numbers. Raises Unread where it is not one."""
    import mpmath

    with mpmath.workdps(_DIGITS):
        return _set(form, mpmath.mp)


def _set(form: Form, mp: Any) -> Pieces:
    if isinstance(form, Numbers):
        if form.name in ("R", ""):
            return (Piece(-mp.inf, False, mp.inf, False),) if form.name else ()
        raise Unread(form.name)
    if isinstance(form, SetOperation):
        left, right = _set(form.left, mp), _set(form.right, mp)
        return {"cup": union, "cap": intersection, "minus": difference}[form.sign](left, right, mp)
    if isinstance(form, Builder):
        return _set(form.condition, mp)
    if isinstance(form, Relation):
        return _of_relation(form, mp)
    if isinstance(form, Items):
        return _of_items(form, mp)
    if isinstance(form, Value):
        return _points(form, mp)
    raise Unread("no set")


def _of_items(form: Items, mp: Any) -> Pieces:
    if form.brackets in ("()", "[]", "(]", "[)") and len(form.items) == 2:
        low, high = (_end(item, mp) for item in form.items)
        if low > high or (low == high and form.brackets != "[]"):
            raise Unread("an interval that ends where it begins")
        return normal((Piece(low, form.brackets[0] == "[", high, form.brackets[1] == "]"),), mp)
    if form.brackets == "{}":
        return _joined([_points(item, mp) for item in form.items], mp)
    if not form.brackets:
        sets = [_set(item, mp) for item in form.items]
        if form.joiner == "or" or all(isinstance(i, Relation) and i.signs == ("=",) for i in form.items):
            return _joined(sets, mp)
        if form.joiner == "," and not any(isinstance(i, Relation) for i in form.items):
            return _joined(sets, mp)
        found = sets[0]
        for each in sets[1:]:
            found = intersection(found, each, mp)
        return found
    raise Unread("no set")


def _joined(sets: list[Pieces], mp: Any) -> Pieces:
    return normal(tuple(piece for pieces in sets for piece in pieces), mp)


def _end(form: Form, mp: Any) -> Any:
    if not isinstance(form, Value) or form.words:
        raise Unread("an end that is no number")
    if _is_infinite(form):
        return -mp.inf if form.node.kind == "neg" else mp.inf
    return _real(form.node, mp)


def _real(node: Node, mp: Any) -> Any:
    if node.symbols():
        raise Unread("an end with symbols")
    value = number(node, {})
    if value is None or abs(mp.im(value)) > 1e-40:
        raise Unread("an end that is not real")
    return mp.re(value)


def _points(form: Form, mp: Any) -> Pieces:
    if not isinstance(form, Value) or form.words:
        raise Unread("an element that is no number")
    values = [_real(node, mp) for node in expanded(form.node)]
    return normal(tuple(Piece(v, True, v, True) for v in values), mp)


def _of_relation(form: Relation, mp: Any) -> Pieces:
    """An inequality in one variable that stands alone on its side, or a membership."""
    if form.signs == ("in",):
        return _set(form.sides[1], mp)
    if (bars := _within_bars(form, mp)) is not None:
        return bars
    variables = [s for s in form.sides if isinstance(s, Value) and s.node.kind == "sym" and s.node.name not in ("inf",)]
    if len(variables) != 1:
        raise Unread("no single variable")
    place = form.sides.index(variables[0])
    whole: Pieces = (Piece(-mp.inf, False, mp.inf, False),)
    for at, sign in enumerate(form.signs):
        if at == place - 1:
            whole = intersection(whole, _half(_FLIPPED.get(sign, sign), form.sides[at], mp), mp)
        elif at == place:
            whole = intersection(whole, _half(sign, form.sides[at + 1], mp), mp)
        else:
            raise Unread("a longer chain")
    return whole


def _within_bars(form: Relation, mp: Any) -> Pieces | None:
    """|x - 1| < 3 as an interval, |x - 1| > 3 as two; None where no modulus of a linear expression stands there."""
    if len(form.sides) != 2 or form.signs[0] not in _FLIPPED:
        return None
    left, right = form.sides
    sign, bars, bound = (form.signs[0], left, right)
    if isinstance(right, Value) and right.node.kind == "abs":
        sign, bars, bound = _FLIPPED[sign], right, left
    if not isinstance(bars, Value) or bars.words or bars.node.kind != "abs" or len(bars.node.symbols()) != 1:
        return None
    inside, symbol = bars.node.args[0], bars.node.symbols().pop()
    zero, one, more, less = (number(inside, {symbol: mp.mpf(x)}) for x in (0, 1, 7.5, -11))
    radius = _end(bound, mp)
    if None in (zero, one, more, less) or radius < 0 or radius == mp.inf:
        return None
    slope = one - zero
    if abs(slope) < 1e-30 or any(abs(zero + slope * x - y) > 1e-30 for x, y in ((7.5, more), (-11, less))):
        return None
    centre, half = mp.re(-zero / slope), mp.re(radius / abs(slope))
    inner = (Piece(centre - half, sign in ("<=", ">"), centre + half, sign in ("<=", ">")),)
    if sign in ("<", "<="):
        return normal(inner, mp)
    return difference((Piece(-mp.inf, False, mp.inf, False),), normal(inner, mp), mp)


def _half(sign: str, side: Form, mp: Any) -> Pieces:
    """All x with x `sign` side."""
    if sign == "in":
        return _set(side, mp)
    if sign in ("=", "!="):
        points = _points(side, mp)
        return points if sign == "=" else difference((Piece(-mp.inf, False, mp.inf, False),), points, mp)
    end = _end(side, mp)
    if sign in ("<", "<="):
        return normal((Piece(-mp.inf, False, end, sign == "<="),), mp)
    if sign in (">", ">="):
        return normal((Piece(end, sign == ">=", mp.inf, False),), mp)
    raise Unread(sign)


def _same(a: Any, b: Any) -> bool:
    if a == b:
        return True
    size = max(abs(a), abs(b))
    return bool(size < float("inf") and abs(a - b) <= 1e-30 * size)


def normal(pieces: Pieces, mp: Any) -> Pieces:
    """Return the pieces in order, those that touch joined, empty ones gone."""
    kept = [p for p in pieces if p.low < p.high or (_same(p.low, p.high) and p.low_closed and p.high_closed)]
    kept.sort(key=lambda p: (p.low, not p.low_closed))
    found: list[Piece] = []
    for piece in kept:
        last = found[-1] if found else None
        touches = last and (
            piece.low < last.high or (_same(piece.low, last.high) and (piece.low_closed or last.high_closed))
        )
        if last and touches:
            if piece.high > last.high and not _same(piece.high, last.high):
                found[-1] = Piece(last.low, last.low_closed, piece.high, piece.high_closed)
            elif _same(piece.high, last.high):
                found[-1] = Piece(last.low, last.low_closed, last.high, last.high_closed or piece.high_closed)
        else:
            found.append(piece)
    return tuple(found)


def union(a: Pieces, b: Pieces, mp: Any) -> Pieces:
    return normal((*a, *b), mp)


def intersection(a: Pieces, b: Pieces, mp: Any) -> Pieces:
    found = []
    for one in a:
        for two in b:
            low, low_closed = max(((one.low, not one.low_closed), (two.low, not two.low_closed)))
            high, high_open = min((one.high, one.high_closed), (two.high, two.high_closed))
            found.append(Piece(low, not low_closed, high, high_open))
    return normal(tuple(found), mp)


def difference(a: Pieces, b: Pieces, mp: Any) -> Pieces:
    """Take each piece of b out of a."""
    found = a
    for cut in b:
        rest: Pieces = (
            Piece(-mp.inf, False, cut.low, not cut.low_closed),
            Piece(cut.high, not cut.high_closed, mp.inf, False),
        )
        found = intersection(found, normal(rest, mp) if cut.low > -mp.inf or cut.high < mp.inf else (), mp)
    return found


def same_set(a: Pieces, b: Pieces) -> bool:
    """Return whether two normal sets are equal."""
    return len(a) == len(b) and all(
        _same(p.low, q.low)
        and _same(p.high, q.high)
        and p.low_closed == q.low_closed
        and p.high_closed == q.high_closed
        for p, q in zip(a, b, strict=True)
    )
