"""Tokens of an answer in one spelling: numbers, symbols, functions, words, brackets and signs."""

import re
from dataclasses import dataclass
from itertools import pairwise

MOST_TOKENS = 1_500


class Unread(Exception):
    """The text is not read as a whole."""


@dataclass(frozen=True, slots=True)
class Token:
    """kind: num, sym, func, word, open, close, or the sign itself. spaced: white space stands before it."""

    kind: str
    text: str
    spaced: bool = False


FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "arcsin", "arccos", "arctan", "arccot",
    "arcsec", "arccsc", "arsinh", "arcosh", "artanh", "ln", "log", "lg", "exp", "sqrt", "cbrt", "gcd", "lcm", "max",
    "min",
    "det", "abs", "floor", "ceil", "asin", "acos", "atan", "sgn",
}  # fmt: skip
SAME_FUNCTION = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "tg": "tan", "ctg": "cot", "arctg": "arctan", "cosec": "csc",
    "sech": "sech", "surd": "sqrt",
}  # fmt: skip
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "ell", "hbar", "varphi", "varepsilon", "vartheta",
}  # fmt: skip
_VARIANT = {"varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta", "varrho": "rho"}
SIGNS = {
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "pm": "pm", "mp": "mp", "le": "<=", "leq": "<=",
    "leqslant": "<=",
    "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=", "neq": "!=", "in": "in",
    "notin": "notin", "cup": "cup", "cap": "cap", "setminus": "minus", "backslash": "minus", "mid": "|", "vert": "|",
    "lvert": "|", "rvert": "|", "to": "to", "rightarrow": "to", "longrightarrow": "to", "Rightarrow": "implies",
    "implies": "implies", "approx": "approx", "equiv": "equiv", "sim": "approx", "ldots": "...", "dots": "...",
    "cdots": "...", "circ": "deg", "degree": "deg", "prime": "'", "land": "and", "wedge": "and", "lor": "or",
    "vee": "or",
    "colon": ":", "approxeq": "approx", "simeq": "approx", "infty": "inf", "iff": "iff", "leftrightarrow": "iff",
    "Leftrightarrow": "iff", "cr": "row", "%": "%",
}  # fmt: skip
_SYMBOLS = {"pi", "imath", "jmath", "Re", "Im", "partial", "nabla", "odot", "AA", "angle", "triangle"}
_SKIPPED = {
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "displaystyle",
    "textstyle", "quad", "qquad", "limits", "nolimits", "hfill", "middle", "tiny", "large", "rm", "it", "bf", ",", ";",
    ":", "!", " ", ">",
}  # fmt: skip
_OPEN = {
    "{": "{",
    "(": "(",
    "[": "[",
    "lbrace": "\\{",
    "langle": "<",
    "lbrack": "[",
    "lfloor": "floor",
    "lceil": "ceil",
}
_CLOSE = {
    "}": "}",
    ")": ")",
    "]": "]",
    "rbrace": "\\}",
    "rangle": ">",
    "rbrack": "]",
    "rfloor": "floor",
    "rceil": "ceil",
}
_TEXT = {"text", "textrm", "textbf", "textit", "texttt", "mbox", "textsf", "textnormal", "hbox", "underline", "emph"}
_UPRIGHT = {"mathrm", "operatorname", "mathit", "mathsf", "mathtt", "operatorname*"}
_BOLD = {
    "mathbf",
    "boldsymbol",
    "vec",
    "hat",
    "bm",
    "overrightarrow",
    "mathcal",
    "overline",
    "bar",
    "tilde",
    "dot",
    "ddot",
}
_RAW = re.compile(
    r"\s*+(?:(?P<num>\d+\.(?![\d.])|\d+(?:\.\d+)?|\.\d+)(?:[eE](?P<e>[+-]?\d{1,4})(?![\w.]))?"
    r"|(?P<cmd>\\(?:[A-Za-z]+\*?|.))|(?P<letters>[A-Za-z]+)|(?P<dots>\.\.\.+)"
    r"|(?P<sign><=|>=|!=|=>|->|==|.))",
    re.DOTALL,
)
PLAIN_SIGNS = {"<=": "<=", ">=": ">=", "!=": "!=", "=>": "implies", "->": "to", "==": "="}
JOINING = {"and", "or"}
_SMALL_WORDS = {"no", "of", "is", "to", "by", "at", "on", "it", "as", "we", "an", "if", "so"}
PLAIN_UNITS = {
    "cm", "mm", "km", "kg", "mg", "ml", "mL", "ft", "yd", "mi", "lb", "lbs", "oz", "hr", "hrs", "min", "sec", "Hz",
    "kHz",
    "MHz", "GHz", "Pa", "kPa", "eV", "keV", "MeV", "GeV", "mol", "rad", "kJ", "kW", "kV", "mV", "mA", "kN", "nm", "mph",
    "dB", "MB", "GB", "KB", "kB", "TB", "MW", "GW", "mW",
    "kbps", "Mbps", "Gbps", "mT", "nT", "pF", "nF", "mH", "Da", "bits", "USD", "cents", "kmh", "rpm",
}  # fmt: skip


def tokenise(text: str, *, words: bool = False) -> list[Token]:
    """Return the tokens of an answer. words: letters are words, as inside \\text. Raises Unread."""
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        match = _RAW.match(text, place)
        if match is None:
            break
        spaced = match.start() != match.end() and text[match.start()].isspace()
        place = match.end()
        if match["num"]:
            tokens.append(Token("num", match["num"] + (f"e{match['e']}" if match["e"] else ""), spaced))
        elif match["cmd"]:
            place = _command(text, place, match["cmd"][1:], spaced, tokens)
        elif match["letters"]:
            tokens += _letters(match["letters"], spaced, tokens, words)
        elif match["dots"]:
            tokens.append(Token("...", "...", spaced))
        else:
            tokens.append(_sign(match["sign"], spaced, words))
        if len(tokens) > MOST_TOKENS:
            raise Unread("too long")
    return tokens


def _sign(sign: str, spaced: bool, words: bool) -> Token:
    if sign in _OPEN:
        return Token("open", _OPEN[sign], spaced)
    if sign in _CLOSE:
        return Token("close", _CLOSE[sign], spaced)
    if sign.isalpha() or sign in '"?':
        return Token("word", sign, spaced)
    if words and sign in ".'":
        return Token("word", sign, spaced)
    return Token(PLAIN_SIGNS.get(sign, sign), sign, spaced)


def _command(text: str, place: int, name: str, spaced: bool, tokens: list[Token]) -> int:
    """Add the tokens of a command; return where the text goes on."""
    if name in _SKIPPED:
        if name in ("left", "right") and text[place : place + 1] == ".":
            return place + 1
        return place
    if name.startswith(("quad", "qquad")):  # \\quadx, as some typesetters leave it
        return place - len(name) + (5 if name.startswith("qquad") else 4)
    if name in ("{", "}"):
        tokens.append(Token("open" if name == "{" else "close", "\\" + name, spaced))
    elif name in _OPEN or name in _CLOSE:
        tokens.append(Token("open" if name in _OPEN else "close", (_OPEN | _CLOSE)[name], spaced))
    elif name in _TEXT or name in _UPRIGHT or name in _BOLD or name in ("mathbb", "ce"):
        return _styled(text, place, name, spaced, tokens)
    elif name in ("phantom", "hphantom", "vphantom", "label", "hspace", "vspace"):
        return _argument(text, place)[1]
    elif name in ("begin", "end"):
        inside, place = _argument(text, place)
        tokens.append(Token("env" if name == "begin" else "endenv", inside.strip("*"), spaced))
        if name == "begin" and inside.startswith("array"):
            _, place = _argument(text, place)
    else:
        tokens.append(Token(*_plain_command(name), spaced))
    return place


def _plain_command(name: str) -> tuple[str, str]:
    """The kind and the text of a command without an argument of its own. Raises Unread for an unknown one."""
    if name in SIGNS:
        return SIGNS[name], name
    if name in FUNCTIONS or name in SAME_FUNCTION:
        return "func", SAME_FUNCTION.get(name, name)
    if name in ("frac", "binom", "dbinom", "tbinom", "pmod", "bmod", "mod"):
        return (name[1:] if name in ("dbinom", "tbinom") else name), name
    if name in ("emptyset", "varnothing"):
        return "empty", name
    if name.lower() in GREEK or name in _VARIANT or name in _SYMBOLS:
        return "sym", _VARIANT.get(name, name)
    raise Unread(f"\\{name}")


def _styled(text: str, place: int, name: str, spaced: bool, tokens: list[Token]) -> int:
    inside, place = _argument(text, place)
    bare = inside.replace("~", " ").strip()
    if name == "mathbb":
        tokens.append(Token("numbers", bare, spaced))
    elif name in _BOLD and re.fullmatch(r"[A-Za-z]|\\[A-Za-z]+", bare):
        tokens.append(Token("sym", f"{name} {bare}", spaced))
    elif name in _UPRIGHT and bare in ("e", "i", "pi", "d"):
        tokens.append(Token("sym", bare, spaced))
    elif name in _UPRIGHT and (bare in FUNCTIONS or bare in SAME_FUNCTION):
        tokens.append(Token("func", SAME_FUNCTION.get(bare, bare), spaced))
    elif name in _UPRIGHT and re.fullmatch(r"[A-Z]", bare):
        tokens.append(Token("sym", bare, spaced))
    elif name in _BOLD - {"mathbf", "boldsymbol", "bm"}:
        raise Unread(f"\\{name}")
    elif name in _BOLD:
        tokens += tokenise(inside)
    else:
        found = tokenise(inside.replace("~", " "), words=True)
        tokens += [Token(found[0].kind, found[0].text, True), *found[1:]] if found else []
    return place


def _argument(text: str, place: int) -> tuple[str, int]:
    """Return the braced text that starts at or after `place`, and where it ends."""
    while place < len(text) and text[place].isspace():
        place += 1
    if place >= len(text):
        raise Unread("a command without its argument")
    if text[place] != "{":
        end = place + (len(re.match(r"\\[A-Za-z]+|.", text[place:], re.DOTALL)[0]))  # type: ignore[index]
        return text[place:end], end
    depth = 0
    for end in range(place, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0) if text[end - 1 : end] != "\\" else 0
        if depth == 0:
            return text[place + 1 : end], end + 1
    raise Unread("an open brace")


def _letters(run: str, spaced: bool, before: list[Token], words: bool) -> list[Token]:
    """A run of letters: a word, a function, a Greek name, a unit behind a number, or a product of symbols."""
    lower = run.lower()
    if lower in JOINING:
        return [Token(lower, run, spaced)]
    if words:
        return [Token("word", run, spaced)]
    if run in FUNCTIONS or run in SAME_FUNCTION:
        return [Token("func", SAME_FUNCTION.get(run, run), spaced)]
    if lower in ("infinity", "inf", "infty", "oo"):
        return [Token("inf", run, spaced)]
    if run in ("pi", "Pi"):
        return [Token("sym", "pi", spaced)]
    if lower in GREEK and len(run) > 2:
        return [Token("sym", lower, spaced)]
    after_number = bool(before) and (before[-1].kind == "num" or before[-1].text in ("}", ")"))
    if after_number and (run in PLAIN_UNITS or (spaced and len(run) > 2 and not _in_a_row(run))):
        return [Token("word", run, True)]
    if lower in _SMALL_WORDS and (spaced or (not before and lower == "no") or (before and before[-1].text == "(")):
        return [Token("word", run, True)]
    if len(run) == 1 or not _looks_like_a_word(run):
        return [Token("sym", letter, spaced and i == 0) for i, letter in enumerate(run)]
    for name in sorted(FUNCTIONS, key=len, reverse=True):
        if run.endswith(name) and len(run) - len(name) == 1 and len(name) > 2:  # xsin(x)
            return [Token("sym", run[0], spaced), Token("func", SAME_FUNCTION.get(name, name))]
    return [Token("word", run, spaced)]


def _looks_like_a_word(run: str) -> bool:
    """Return whether a run of letters is a word and no product: three letters or more, a vowel, not like abc or xyz."""
    return len(run) > 2 and bool(re.search("[aeiouyAEIOUY]", run)) and not _in_a_row(run)


def _in_a_row(run: str) -> bool:
    return all(ord(b) - ord(a) == 1 for a, b in pairwise(run))
