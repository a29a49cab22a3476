"""From tokens to a form: lists, intervals, relations, labels, units and words around an expression."""

from dataclasses import replace
from itertools import pairwise

from ringlite_cli.rewards.reading.expressions import parse
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
from ringlite_cli.rewards.reading.spelling import MAX_CHARACTERS, spell
from ringlite_cli.rewards.reading.tokens import Token, Unread, tokenise
from ringlite_cli.rewards.reading.tree import Node, num

RELATIONS = {"=", "<", ">", "<=", ">=", "!=", "in", "notin", "approx", "equiv", "to"}
_LEADING = {
    "the", "answer", "is", "exactly", "about", "approximately", "approx", "total", "of", "final", "result", "value",
    "equals",
    "equal", "to", "there", "are", "a", "an", "so", "thus", "therefore", "hence", "roughly", "around", "precisely",
    "only",
    "答", "案", "是", "为", "约", "共", "since", "solution", "solutions", "we", "get", "have", "sum",
}  # fmt: skip
_CONDITIONAL = {
    "if", "when", "otherwise", "unless", "not", "except", "mod", "neither", "nor", "either", "than", "least", "most",
    "less",
    "more", "minus", "negative", "plus", "between", "no", "without", "never", "always", "but", "over", "under", "per",
    "times", "squared", "cubed", "half", "hundred", "dozen", "involves", "cannot",
    "isn",
    "root", "不", "wrong", "incorrect", "false", "modulo", "factorial", "power",
    "is", "are", "was", "to", "or", "and", "hundreds",
    "pairs", "tens", "percentage", "larger", "smaller", "greater", "fewer", "up", "down", "until",
    "minimum", "maximum", "about",
}  # fmt: skip
_QUANTIFIER = {"for", "where", "with"}
_BINDING = {"all", "any", "some", "every", "each", "integer", "integers", "real", "positive", "natural", "number",
    "numbers",
            "is", "are", "an", "a", "arbitrary", "constant", "constants", "nonnegative", "non", "negative", "where",
            "for",
            "with", "rational", "complex", "n", "k", "m"}  # fmt: skip
_EMPTY = {
    "no solution", "no solutions", "none", "empty set", "the empty set", "no real solution", "no real solutions",
    "there are no solutions", "no such numbers", "no real roots", "无解",
}  # fmt: skip
_REALS = {"all real numbers", "all reals", "real numbers", "the set of all real numbers", "all real", "any real number"}
_MOST_WORDS = 5
_WIDEST = 200


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
    tokens, bound = _without_quantifier(_without_lead(tokens))
    tokens = _without_comment(tokens)
    parts, joiners = _split(tokens, {",", ";", "and", "or"})
    if len(parts) == 1:
        return replace(_item(parts[0]), quantified=bound)
    kept: list[Form] = []
    for part in parts:
        if not part:
            continue
        found, more = _item_or_binding(part)
        bound |= more
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
    text = " ".join(t.text.lower() for t in tokens if t.kind != "-")
    if text in _EMPTY:
        return Numbers("")
    if text in _REALS:
        return Numbers("R")
    if text in ("infinity", "positive infinity"):
        return Value(Node("sym", name="inf"))
    if {"and", "or"} & {t.kind for t in tokens}:
        return None
    return Words(text)


def _without_lead(tokens: list[Token]) -> list[Token]:
    """Take off "The answer is", "exactly" and an opening sign of approximation."""
    start = 0
    while start < len(tokens) and tokens[start].kind == "word" and tokens[start].text.lower() in _LEADING:
        start += 1
    if start and start < len(tokens) and tokens[start].kind == ":":
        start += 1
    if start < len(tokens) and tokens[start].kind in ("approx", "~"):
        start += 1
    return tokens[start:] if start < len(tokens) else tokens


def _without_quantifier(tokens: list[Token]) -> tuple[list[Token], frozenset[str]]:
    """Take off "for all integers n", "where k is an integer", and return the names that are bound."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if place and depth == 0 and token.kind == "word" and token.text.lower() in _QUANTIFIER:
            rest = [t for t in tokens[place:] if t.kind not in (",", ">", ">=", "num", "in", "numbers", "and", "+")]
            symbols = [t.text for t in rest if t.kind == "sym"]
            words = [t.text.lower() for t in rest if t.kind == "word"]
            whole = len(symbols) + len(words) == len(rest) and all(w in _BINDING for w in words)
            later = _split(tokens[place:], {",", ";", "and", "or"})
            if not whole or not words:
                return _cut_within(tokens, place, later)
            return _trimmed(tokens[:place]), frozenset(symbols)
    return tokens, frozenset()


def _cut_within(
    tokens: list[Token], place: int, later: tuple[list[list[Token]], list[str]]
) -> tuple[list[Token], frozenset[str]]:
    """A quantifier in the middle of a list: cut it out of its own item, and look at the rest again."""
    clause = later[0][0]
    words = [t.text.lower() for t in clause if t.kind == "word"]
    if len(later[0]) < 2 or not all(w in _BINDING for w in words) or any(t.kind == "=" for t in clause):
        return tokens, frozenset()
    symbols = frozenset(t.text for t in clause if t.kind == "sym")
    rest, more = _without_quantifier([*_trimmed(tokens[:place]), *tokens[place + len(clause) :]])
    return rest, symbols | more


def _trimmed(tokens: list[Token]) -> list[Token]:
    while tokens and tokens[-1].kind in (",", ";"):
        tokens = tokens[:-1]
    return tokens


def _without_comment(tokens: list[Token]) -> list[Token]:
    """Take off a closing remark in brackets: False (no aliasing)."""
    if len(tokens) < 4 or tokens[-1].text != ")" or tokens[-1].kind != "close":
        return tokens
    depth = 0
    for place in range(len(tokens) - 1, 0, -1):
        depth += {"close": 1, "open": -1}.get(tokens[place].kind, 0)
        if depth == 0:
            inside = tokens[place + 1 : -1]
            if place and len(inside) == 1 and inside[0].kind == "word":  # 99 (screws)
                return tokens if inside[0].text.lower() in _CONDITIONAL | set(_MANY) else tokens[:place]
            remark = len(inside) > 1 and all(t.kind in ("word", "sym", "and", "or", "-") for t in inside)
            wordy = sum(t.kind == "word" for t in inside) * 2 > len(inside)
            return tokens[:place] if remark and wordy else tokens
    return tokens


def _split(tokens: list[Token], kinds: set[str]) -> tuple[list[list[Token]], list[str]]:
    """Split at signs outside brackets and matrices."""
    parts: list[list[Token]] = [[]]
    signs: list[str] = []
    depth = 0
    for token in tokens:
        depth += {"open": 1, "close": -1, "env": 1, "endenv": -1}.get(token.kind, 0)
        if depth == 0 and token.kind in kinds:
            parts.append([])
            signs.append(token.kind)
        else:
            parts[-1].append(token)
    if len(parts) > _WIDEST:
        raise Unread("a long list")
    return parts, signs


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
    for reader in (_labelled, _relation, _set_operation, _reversed_interval, _bracketed):
        if (found := reader(tokens)) is not None:
            return found
    return _value(tokens)


def _labelled(tokens: list[Token]) -> Form | None:
    parts, _ = _split(tokens, {":"})
    if len(parts) < 2:
        return None
    if all(t.kind in ("word", "sym") for t in parts[0]) and len(parts) == 2 and parts[0]:
        return Labelled(" ".join(t.text.lower() for t in parts[0]), _item(parts[1]))
    return Ratio(tuple(parse(part) for part in parts))


def _relation(tokens: list[Token]) -> Form | None:
    parts, signs = _split(tokens, RELATIONS)
    if len(parts) < 2:
        return None
    if parts[0] and all(t.kind == "word" for t in parts[0]) and signs == ["="]:
        return Labelled(" ".join(t.text.lower() for t in parts[0]), _item(parts[1]))
    return Relation(tuple(_item(part) for part in parts), tuple(signs))


def _set_operation(tokens: list[Token]) -> Form | None:
    parts, signs = _split(tokens, {"cup", "cap", "minus"})
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
    parts, signs = _split(tokens, {"-"})
    sets = [bool(p) and ((p[0].kind == "open" and p[0].text in ("\\{", "{")) or p[0].kind == "numbers") for p in parts]
    return (parts, ["minus"] * len(signs)) if len(parts) > 1 and all(sets) else ([tokens], [])


def _reversed_interval(tokens: list[Token]) -> Form | None:
    """]2, 5[ as some countries write an open interval."""
    first, last = tokens[0], tokens[-1]
    if len(tokens) < 5 or (first.text, last.text) not in (("]", "["), ("]", "]"), ("[", "[")):
        return None
    parts, _ = _split(tokens[1:-1], {",", ";"})
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
    parts, _ = _split(inside, {",", ";"})
    if len(parts) == 1 and (opening in "(" or (opening == "{" and tokens[0].text == "{")):
        return _item(inside) if closing in ")}" else None
    return Items(tuple(_item(part) for part in parts), opening + closing)


def _builder(inside: list[Token]) -> Form | None:
    for sign in ("|", ":"):
        parts, _ = _split(inside, {sign})
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
    node = parse(head)
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
    if set(words) & _CONDITIONAL or len(words) > _MOST_WORDS:
        raise Unread("a condition or a sentence")
    joined = ""
    for token in tail:
        joined += (" " if token.kind == "word" and joined and joined[-1].isalnum() else "") + token.text
    return joined


_MANY = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}


def _with_unit(node: Node, words: str) -> Form:
    lower = words.lower().strip()
    first, _, rest = lower.partition(" ")
    if first in _MANY:
        return _with_unit(Node("mul", (node, Node("pow", (num(10), num(_MANY[first]))))), rest)
    if lower in ("degree", "degrees", "deg"):
        return Value(Node("deg", (node,)))
    if lower in ("percent", "per cent", "％"):
        return Value(Node("pct", (node,)))
    if lower in ("rad", "radian", "radians"):
        return Value(node)
    return Value(node, words)


def as_items(node: Node) -> Form:
    """Return a tree as a form; a tuple or vector in it as items."""
    if node.kind == "matrix":
        return Items(tuple(as_items(row) for row in node.args), "matrix")
    if node.kind != "seq":
        return Value(node)
    brackets = "()" if node.name in ("col", "row", "<>") else node.name
    return Items(tuple(as_items(arg) for arg in node.args), brackets)
