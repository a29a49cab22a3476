"""From tokens to a form: lists, intervals, relations, labels, units and words around an expression."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from ringlite_cli.rewards.normalise import PAIRED
from ringlite_cli.rewards.reading.expressions import parse
from ringlite_cli.rewards.reading.forms import (
    RADIANS,
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
from ringlite_cli.rewards.reading.spelling import MAX_CHARACTERS, spell
from ringlite_cli.rewards.reading.tokens import Token, Unread, tokenise
from ringlite_cli.rewards.reading.tree import Node, num
from ringlite_cli.rewards.reading.trimming import (
    CONDITIONAL,
    MANY,
    split,
    without_comment,
    without_lead,
    without_quantifier,
)

RELATIONS = {"=", "<", ">", "<=", ">=", "!=", "in", "notin", "approx", "equiv", "to"}
_EMPTY = {
    "no solution", "no solutions", "none", "empty set", "the empty set", "no real solution", "no real solutions",
    "there are no solutions", "there is no solution", "no solution exists", "no solutions exist", "has no solution",
    "no real solution exists", "there are no real solutions", "there is no real solution",
    "no such numbers", "no real roots", "无解",
}  # fmt: skip
_REALS = {"all real numbers", "all reals", "real numbers", "the set of all real numbers", "all real", "any real number"}
_SAME_WORDS = {"dne": "does not exist", "it does not exist": "does not exist"}
_MOST_WORDS = 5


def read(text: str) -> Form:
    """Return the form of an answer. Raises Unread where any part of the text is not understood."""
    if len(text) > MAX_CHARACTERS:
        raise Unread("too long")
    tokens = tokenise(spell(text))
    if not tokens:
        raise Unread("empty")
    try:
        return statement(tokens)
    except RecursionError:
        raise Unread("too deep") from None


def statement(tokens: list[Token]) -> Form:
    """Read a whole statement: what it says, without lead-in and closing quantifier."""
    if (named := _named(tokens)) is not None:
        return named
    tokens, bound = without_quantifier(without_lead(tokens))
    tokens = without_comment(tokens)
    parts, joiners = split(tokens, {",", ";", "and", "or"})
    if len(parts) == 1:
        return replace(_item(parts[0]), quantified=bound)
    kept: list[Form] = []
    for part in parts:
        if not part:
            continue
        found, more = _item_or_binding(part)
        bound |= more
        while more and kept and isinstance(kept[-1], Value) and kept[-1].node.kind == "sym" and len(kept) > 1:
            bound |= {kept.pop().node.name}  # type: ignore[attr-defined]
        if found is not None:
            kept.append(found)
    if not kept:
        raise Unread("nothing but quantifiers")
    if len(kept) == 1:
        return replace(kept[0], quantified=bound)
    joiner = "or" if "or" in joiners else "and" if set(joiners) == {"and"} else ","
    return Items(tuple(kept), "", joiner, quantified=bound)


def _item_or_binding(part: list[Token]) -> tuple[Form | None, frozenset[str]]:
    """Read an item, or `k in Z`, which binds k."""
    found = _item(part)
    if (
        isinstance(found, Relation)
        and found.signs == ("in",)
        and isinstance(found.sides[1], Numbers)
        and isinstance(found.sides[0], Value)
        and found.sides[0].node.kind == "sym"
    ):
        return None, frozenset({found.sides[0].node.name})
    return found, frozenset()


def _named(tokens: list[Token]) -> Form | None:
    """Words that name a set, or words alone."""
    if any(t.kind not in ("word", "and", "or", "-", "'") for t in tokens):
        return None
    text = " ".join(t.text if PAIRED.match(t.text) else t.text.lower() for t in tokens if t.kind != "-")
    if text in _EMPTY:
        return Numbers("")
    if text in _REALS:
        return Numbers("R")
    if text in ("infinity", "positive infinity"):
        return Value(Node("sym", name="inf"))
    if {"and", "or"} & {t.kind for t in tokens}:
        return None
    first, _, rest = text.partition(" ")
    return Words(_SAME_WORDS.get(text, rest if first in ("the", "a", "an") and rest else text))


def _item(tokens: list[Token]) -> Form:
    """Read one item of a list."""
    if not tokens:
        raise Unread("an empty item")
    if (named := _named(tokens)) is not None:
        return named
    if len(tokens) == 1 and tokens[0].kind == "...":
        return Ellipsis_()
    if len(tokens) == 1 and tokens[0].kind == "empty":
        return Numbers("")
    if len(tokens) == 1 and tokens[0].kind == "numbers":
        return Numbers(tokens[0].text)
    if tokens[0].kind == "env" and tokens[0].text == "cases":
        return _system(tokens)
    for reader in (_labelled, _relation, _set_operation, _reversed_interval, _bracketed):
        if (found := reader(tokens)) is not None:
            return found
    return _value(tokens)


def _system(tokens: list[Token]) -> Form:
    """Equations under one another, behind a brace. Values with conditions are not read."""
    if tokens[-1].kind != "endenv":
        raise Unread("what stands behind the cases")
    lines, _ = split(tokens[1:-1], {"row"})
    found: list[Form] = []
    for line in filter(None, lines):
        parts, _ = split(line, {"&"})
        if len(parts) > 1 and any(p and p[0].kind not in RELATIONS for p in parts[1:]):
            raise Unread("values with conditions")
        plain = [t for part in parts for t in part]
        relation = _item(plain[:-1] if plain[-1].kind in (",", ";", ".") else plain)
        if not isinstance(relation, Relation) or relation.signs != ("=",):
            raise Unread("no equation")
        found.append(relation)
    return Items(tuple(found)) if len(found) > 1 else found[0]


def _labelled(tokens: list[Token]) -> Form | None:
    parts, _ = split(tokens, {":"})
    if len(parts) < 2:
        return None
    if all(t.kind in ("word", "sym") for t in parts[0]) and len(parts) == 2 and parts[0]:
        return Labelled(" ".join(t.text.lower() for t in parts[0]), _item(parts[1]))
    return Ratio(tuple(parse(part) for part in parts))


def _relation(tokens: list[Token]) -> Form | None:
    parts, signs = split(tokens, RELATIONS)
    if len(parts) < 2:
        return None
    if parts[0] and all(t.kind == "word" for t in parts[0]) and signs == ["="]:
        return Labelled(" ".join(t.text.lower() for t in parts[0]), _item(parts[1]))
    return Relation(tuple(_item(part) for part in parts), tuple(signs))


def _set_operation(tokens: list[Token]) -> Form | None:
    parts, signs = split(tokens, {"cup", "cap", "minus"})
    if len(parts) == 1:
        parts, signs = _difference(tokens)
    if len(parts) == 1:
        return None
    found = _item(parts[0])
    for sign, part in zip(signs, parts[1:], strict=True):
        found = SetOperation(sign, found, _item(part))
    return found


def _difference(tokens: list[Token]) -> tuple[list[list[Token]], list[str]]:
    """A minus sign between sets in braces, or behind a set of numbers, takes the second from the first."""
    parts, signs = split(tokens, {"-"})
    sets = [bool(p) and ((p[0].kind == "open" and p[0].text in ("\\{", "{")) or p[0].kind == "numbers") for p in parts]
    return (parts, ["minus"] * len(signs)) if len(parts) > 1 and all(sets) else ([tokens], [])


def _reversed_interval(tokens: list[Token]) -> Form | None:
    """]2, 5[ as some countries write an open interval."""
    first, last = tokens[0], tokens[-1]
    if len(tokens) < 5 or (first.text, last.text) not in (("]", "["), ("]", "]"), ("[", "[")):
        return None
    parts, _ = split(tokens[1:-1], {",", ";"})
    if len(parts) != 2:
        return None
    brackets = ("(" if first.text == "]" else "[") + (")" if last.text == "[" else "]")
    return Items((_item(parts[0]), _item(parts[1])), brackets)


def _bracketed(tokens: list[Token]) -> Form | None:
    """A tuple, an interval, a list or a set, or a set by its condition."""
    if tokens[0].kind != "open" or tokens[-1].kind != "close" or tokens[0].text in ("floor", "ceil"):
        return None
    depth = 0
    for place, token in enumerate(tokens):
        depth += {"open": 1, "close": -1, "env": 1, "endenv": -1}.get(token.kind, 0)
        if depth == 0 and place < len(tokens) - 1:
            return None
    opening, closing, inside = tokens[0].text.strip("\\"), tokens[-1].text.strip("\\"), tokens[1:-1]
    if opening == "{" and (built := _builder(inside)) is not None:
        return built
    if not inside:
        return Numbers("") if opening == "{" else None
    parts, _ = split(inside, {",", ";"})
    if len(parts) == 1 and (opening in "(" or (opening == "{" and tokens[0].text == "{")):
        return _item(inside) if closing in ")}" else None
    return Items(tuple(_item(part) for part in parts), opening + closing)


def _builder(inside: list[Token]) -> Form | None:
    for sign in ("|", ":"):
        parts, _ = split(inside, {sign})
        if len(parts) == 2 and all(parts):
            return Builder(_item(parts[0]), statement(parts[1]))
    return None


def _value(tokens: list[Token]) -> Form:
    """An expression with the words behind it."""
    depth, cut = 0, len(tokens)
    for place, token in enumerate(tokens):
        depth += {"open": 1, "close": -1, "env": 1, "endenv": -1}.get(token.kind, 0)
        if depth == 0 and token.kind in ("word", "numbers") and place:
            cut = place
            break
    head, tail = tokens[:cut], tokens[cut:]
    while head and head[-1].kind == "-" and tail:
        head = head[:-1]
    words = _words_behind(tail)
    node = _scaled(parse(head))
    if node.kind in ("seq", "matrix"):
        if words:
            raise Unread("words behind a list")
        return as_items(node)
    return _with_unit(node, words)


def _words_behind(tail: list[Token]) -> str:
    if not tail:
        return ""
    if any(t.kind not in ("word", "/", "^", "num", "*", "open", "close", "sym", "-", "'") for t in tail):
        raise Unread("what stands behind the words")
    if any(t.kind == "num" and t.spaced and before.kind == "word" for before, t in pairwise(tail)):
        raise Unread("a number behind the words")
    words = [t.text.lower() for t in tail if t.kind == "word"]
    if set(words) & CONDITIONAL or len(words) > _MOST_WORDS:
        raise Unread("a condition or a sentence")
    joined = ""
    for token in tail:
        joined += (" " if token.kind == "word" and joined and joined[-1].isalnum() else "") + token.text
    return joined


def _with_unit(node: Node, words: str) -> Form:
    lower = words.lower().strip()
    first, _, rest = lower.partition(" ")
    if first in MANY:
        return _with_unit(Node("mul", (node, Node("pow", (num(10), num(MANY[first]))))), rest)
    if lower in ("degree", "degrees", "deg"):
        return Value(Node("deg", (node,)))
    if lower in ("percent", "per cent", "％"):
        return Value(Node("pct", (node,)))
    if lower in ("rad", "radian", "radians"):
        return Value(node, RADIANS)
    return Value(node, words)


def _scaled(node: Node) -> Node:
    """Return a number times a matrix or column as one: the number goes into every entry."""
    if node.kind == "neg" and (inside := _scaled(node.args[0])).kind in ("seq", "matrix"):
        return _by_entry(inside, lambda entry: Node("neg", (entry,)))
    if node.kind in ("mul", "div"):
        left, right = node.args
        if _is_array(right) and node.kind == "mul" and not any(n.kind in ("seq", "matrix") for n in left.walk()):
            return _by_entry(right, lambda entry: Node("mul", (left, entry)))
        if _is_array(left) and not any(n.kind in ("seq", "matrix") for n in right.walk()):
            return _by_entry(left, lambda entry: Node(node.kind, (entry, right)))
    return node


def _is_array(node: Node) -> bool:
    return node.kind == "matrix" or (node.kind == "seq" and node.name in ("col", "row"))


def _by_entry(node: Node, made: Callable[[Node], Node]) -> Node:
    if _is_array(node):
        return replace(node, args=tuple(_by_entry(arg, made) for arg in node.args))
    return made(node)


def as_items(node: Node) -> Form:
    """Return a tree as a form; a tuple or vector in it as items."""
    if node.kind == "matrix":
        return Items(tuple(as_items(row) for row in node.args), "matrix")
    if node.kind != "seq":
        return Value(node)
    brackets = "()" if node.name in ("col", "row", "<>") else node.name
    return Items(tuple(as_items(arg) for arg in node.args), brackets)
