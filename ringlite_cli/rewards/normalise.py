"""Answers as text: what spares the computer algebra system, and what decides without it."""

import json
import re
import unicodedata
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from typing import Any

_DROPPED = re.compile(r"\\(?:left|right|displaystyle|[,!;:> ]|quad|qquad|big|Big|bigg|Bigg)(?![A-Za-z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d.,])(-?\d{1,3}(?:(?:,|\{,\})\d{3})+)(?![\d,])")
PAIRED = re.compile(r"(?:([A-Za-z])(?i:\1))+\Z")
"""A genotype, such as AaBb: capitals and small letters are not the same."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)\Z")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textrm|mbox)\s*\{([^{}]*)\}")

WIDE = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
"""Arithmetic in which every number that an answer can spell out is exact; the usual 28 digits fail on longer ones."""


def answer_texts(answer: Any) -> list[str]:
    """The accepted answers as text. A list, or JSON text of one, is a list of alternatives; a number is its text."""
    if isinstance(answer, str):
        stripped = answer.strip()
        if stripped[:1] == "[" and stripped[-1:] == "]":
            try:
                listed = json.loads(stripped)
            except ValueError:
                listed = None
            if isinstance(listed, list) and listed and all(isinstance(a, str) for a in listed):
                return [a.strip() for a in listed if a.strip()]
            if isinstance(listed, list) and len(listed) == 1 and not isinstance(listed[0], list | dict):
                return [number_text(listed[0])]
        return [stripped] if stripped else []
    if isinstance(answer, list | tuple):
        return [text for a in answer for text in answer_texts(a)]
    return [] if answer is None else [number_text(answer)]


def number_text(value: Any) -> str:
    """A number as people write it: 142.0 is 142."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


_RAISED = re.compile("[⁻⁺]?[⁰¹²³⁴-⁹]+")
_SIGNS = str.maketrans({"°": r"^{\circ}", "−": "-", "，": ",", "、": ",", "。": ".", "⁄": "/", "【": "[", "】": "]"})
_VULGAR = re.compile("[¼-¾⅐-⅞]")


def one_width(text: str) -> str:
    """Full-width and other compatibility characters as plain ones.

    A raised digit stays a power (10² is 10^{2}), a fraction a fraction (2½ is 2\\frac{1}{2}).
    """
    text = _VULGAR.sub(lambda m: rf"\frac{{{unicodedata.normalize('NFKC', m[0]).replace('⁄', '}{')}}}", text)
    text = _RAISED.sub(lambda m: "^{" + unicodedata.normalize("NFKC", m[0]) + "}", text)
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


def normalise(text: str) -> str:
    """One spelling for many: width, dollar signs, spacing commands, fraction names, thousands, a final full stop."""
    text = one_width(text).strip().strip("$").strip()
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2].strip()
    text = _FRACTION.sub(r"\\frac", _DROPPED.sub("", text))
    text = _THOUSANDS.sub(lambda m: m[1].replace("{,}", "").replace(",", ""), text)
    text = re.sub(r"\s+", " ", text)
    return text[:-1].rstrip() if text.endswith(".") and not text.endswith("..") else text


_EMPTY_SET = re.compile(r"\\varnothing(?![A-Za-z])|∅")
_GROUPS = re.compile(r"(?<![\d.] )(?<![\d.])\d{1,3}(?: \d{3})+(?! ?\d)")  # 1 234 567
_APART = re.compile(r"(?<=\d) (?=\d)")
_SUBSCRIPT = re.compile(r"_\{(\w+)\}")
_QUOTES = '"“”‘’「」『』'


def squeeze(text: str) -> str:
    """A key for equality: normalised, text macros opened, without spaces but those that part two numbers."""
    text = _EMPTY_SET.sub(r"\\emptyset", _TEXT.sub(r"\1", normalise(text)))
    text = _APART.sub("~", _GROUPS.sub(lambda m: m[0].replace(" ", ""), text))
    return re.sub(r"\s+", "", _SUBSCRIPT.sub(r"_\1", text)).strip(_QUOTES)


def is_close(one: Decimal, other: Decimal) -> bool:
    """Return whether a number is the gold one, `other`: to half its last place, and to a millionth at most.

    A gold number without a decimal point is exact. Of any length.
    """
    with localcontext(WIDE):
        exponent = other.as_tuple().exponent
        half_place = Decimal(5).scaleb(int(exponent) - 1) if int(exponent) < 0 else Decimal(0)
        return abs(one - other) <= min(half_place, abs(other).scaleb(-6))


def plain(number: Decimal) -> str:
    """One text per value: 2.50 and 2.5 are the same, to the last digit."""
    with localcontext(WIDE):
        return str(number.normalize())


def decimal_of(text: str) -> Decimal | None:
    """The number that `text` plainly is; None for anything with more to it."""
    text = normalise(text)
    if len(text) > 400 or not _NUMBER.match(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
