"""One notation for texts that are compared: LaTeX, Unicode signs and plain text that mean the same come out the same.

What changes a value stays: numbers, signs, exponents, and which terms stand under a root, in an exponent or a fraction.
"""

import re
import unicodedata

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("−–‒﹣", "-"),
        **dict.fromkeys("×·⋅∙", " times "),
        "÷": " / ",
        "′": "'",
        "″": "''",
        "≤": " le ",
        "≥": " ge ",
        "≠": " ne ",
        "√": " sqrt ",
        "π": " pi ",
        "∞": " infty ",
        "∠": " angle ",
        "△": " triangle ",
        "°": "^circ ",
    }
)
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|\\,|\\!,\\!|,\\!)\d{3})+(?!\d|,\d)")
_NOT_DIGIT = re.compile(r"\D+")
_BARE_DECIMAL = re.compile(r"(?<![\d.\w])\.(?=\d)")
_SHORT_IS = re.compile(r"\b(what|who|where|how|there|that|it)['’]s\b", re.I)
_PRIMED = re.compile(r"(?<![A-Za-z'’‘\"\\])([A-Za-z])(['’]{1,3})(?![A-Za-z'’])")  # f'(x), f'', but not 'A'
_POSSESSIVE = re.compile(r"(?<=[^\W\d_]{2})['’]s\b")
_FRACTION_OF_DIGITS = re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)")
_GROUP = re.compile(r"([\^_]|\\(?:[cdt]?frac|[dt]?binom|sqrt)|[\])}])\s*\{([^{}]*)\}")
_ATOM = re.compile(r"\s*[+-]?\s*(?:\\?[a-zA-Z]+|\d+(?:\.\d+)?)\s*")
_LATEX_LOOK = re.compile(
    r"\\[\[\]()]|[\^_]\{\}|\\(?:begin|end)\s*\{(?:align|aligned|array|gather|gathered|equation|split|cases|center)\*?\}"
    r"|\\(?:left|right|[bB]ig{1,2}[lr]?|displaystyle|textstyle|limits|quad|qquad|operatorname\*?|text(?:bf|it|rm)?"
    r"|math(?:rm|bf|it|sf)|mbox|rm|bf|[,;:!> ])(?![a-z])"
)
_BOLD = re.compile(r"(?<![\w)\]*])\*\*(?=[^\s*])([^*]+?)(?<=\S)\*\*(?![\w(*])")
_LOOSE_GROUP = re.compile(r"(?<=\s)\{(\s*(?:[a-zA-Z]+|\d+)\s*)\}")
_DEPTH = 3  # of nested groups that are looked into


def common(text: str) -> str:
    """Return the text in the common notation; its words and their order stay."""
    if not text.isascii():
        text = _ascii_signs(text)
    if "," in text:
        text = _THOUSANDS.sub(lambda match: _NOT_DIGIT.sub("", match[0]), text)
    if "'" in text or "’" in text:
        text = _SHORT_IS.sub(r"\1 is", text)
        text = _POSSESSIVE.sub("", text)
        text = _PRIMED.sub(_primed, text)
    if "." in text:
        text = _BARE_DECIMAL.sub("0.", text)
    if "**" in text:
        text = _BOLD.sub(r"\1", text)
    if "\\" in text or "{" in text:
        text = _latex(text)
    return text


def _primed(match: re.Match[str]) -> str:
    """A letter with primes as `f^{\\prime\\prime}` comes out."""
    primes = ["\\prime"] * len(match[2])
    return f"{match[1]}^ prime " if len(primes) == 1 else f"{match[1]}^({''.join(primes)})"


def _ascii_signs(text: str) -> str:
    text = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_RAISED)}}}", text)
    text = _SUBSCRIPT.sub(lambda match: f"_{{{match[0].translate(_LOWERED)}}}", text)
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


def _latex(text: str) -> str:
    text = _LATEX_LOOK.sub(" ", text)
    text = _LOOSE_GROUP.sub(r"\1", text)
    text = _FRACTION_OF_DIGITS.sub(r"\\frac{\1}{\2}", text)
    for _ in range(_DEPTH):
        text, found = _GROUP.subn(_grouped, text)
        if not found:
            break
    return text


def _grouped(match: re.Match[str]) -> str:
    """A group of several terms in brackets; a single number, letter or command without its braces."""
    before, inside = match[1], match[2]
    return f"{before} {inside} " if _ATOM.fullmatch(inside) else f"{before}({inside})"
