"""Words around an expression: leads, quantifiers and closing remarks are cut off, lists are cut at their signs."""

from ringlite_cli.rewards.reading.tokens import Token, Unread

LEADING = {
    "the", "answer", "is", "exactly", "about", "approximately", "approx", "total", "of", "final", "result", "value",
    "equals",
    "equal", "to", "there", "are", "a", "an", "so", "thus", "therefore", "hence", "roughly", "around", "precisely",
    "only",
    "答", "案", "是", "为", "约", "共", "since", "solution", "solutions", "we", "get", "have", "sum",
}  # fmt: skip
CONDITIONAL = {
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
QUANTIFIER = {"for", "where", "with"}
BINDING = {"all", "any", "some", "every", "each", "integer", "integers", "real", "positive", "natural", "number",
    "numbers",
            "is", "are", "an", "a", "arbitrary", "constant", "constants", "nonnegative", "non", "negative", "where",
            "for",
            "with", "rational", "complex", "n", "k", "m"}  # fmt: skip
WIDEST = 200
MANY = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}


def without_lead(tokens: list[Token]) -> list[Token]:
    """Take off "The answer is", "exactly" and an opening sign of approximation."""
    start = 0
    while start < len(tokens) and tokens[start].kind == "word" and tokens[start].text.lower() in LEADING:
        start += 1
    if start and start < len(tokens) and tokens[start].kind == ":":
        start += 1
    if start < len(tokens) and tokens[start].kind in ("approx", "~"):
        start += 1
    return tokens[start:] if start < len(tokens) else tokens


def without_quantifier(tokens: list[Token]) -> tuple[list[Token], frozenset[str]]:
    """Take off "for all integers n", "where k is an integer", and return the names that are bound."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if place and depth == 0 and token.kind == "word" and token.text.lower() in QUANTIFIER:
            rest = [t for t in tokens[place:] if t.kind not in (",", ">", ">=", "num", "in", "numbers", "and", "+")]
            symbols = [t.text for t in rest if t.kind == "sym"]
            words = [t.text.lower() for t in rest if t.kind == "word"]
            whole = len(symbols) + len(words) == len(rest) and all(w in BINDING for w in words)
            later = split(tokens[place:], {",", ";", "and", "or"})
            if not whole or not words:
                return _cut_within(tokens, place, later)
            return trimmed(tokens[:place]), frozenset(symbols)
    return tokens, frozenset()


def _cut_within(
    tokens: list[Token], place: int, later: tuple[list[list[Token]], list[str]]
) -> tuple[list[Token], frozenset[str]]:
    """A quantifier in the middle of a list: cut it out of its own item, and look at the rest again."""
    clause = later[0][0]
    words = [t.text.lower() for t in clause if t.kind == "word"]
    if len(later[0]) < 2 or not all(w in BINDING for w in words) or any(t.kind == "=" for t in clause):
        return tokens, frozenset()
    symbols = frozenset(t.text for t in clause if t.kind == "sym")
    rest, more = without_quantifier([*trimmed(tokens[:place]), *tokens[place + len(clause) :]])
    return rest, symbols | more


def trimmed(tokens: list[Token]) -> list[Token]:
    while tokens and tokens[-1].kind in (",", ";"):
        tokens = tokens[:-1]
    return tokens


def without_comment(tokens: list[Token]) -> list[Token]:
    """Take off a closing remark in brackets: False (no aliasing)."""
    if len(tokens) < 4 or tokens[-1].text != ")" or tokens[-1].kind != "close":
        return tokens
    depth = 0
    for place in range(len(tokens) - 1, 0, -1):
        depth += {"close": 1, "open": -1}.get(tokens[place].kind, 0)
        if depth == 0:
            inside = tokens[place + 1 : -1]
            if place and len(inside) == 1 and inside[0].kind == "word":  # 99 (screws)
                return tokens if inside[0].text.lower() in CONDITIONAL | set(MANY) else tokens[:place]
            remark = len(inside) > 1 and all(t.kind in ("word", "sym", "and", "or", "-") for t in inside)
            wordy = sum(t.kind == "word" for t in inside) * 2 > len(inside)
            return tokens[:place] if remark and wordy else tokens
    return tokens


def split(tokens: list[Token], kinds: set[str]) -> tuple[list[list[Token]], list[str]]:
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
    if len(parts) > WIDEST:
        raise Unread("a long list")
    return parts, signs
