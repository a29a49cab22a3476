"""Answers as text: what spares the computer algebra system, and what decides without it."""

import json
import re
import unicodedata
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from typing import Any

_DROPPED = re.compile(r"\\(?:left|right|displaystyle|[,!;:> ]|quad|qquad|big|Big|bigg|Bigg)(?![A-Za-z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d.,])(-?\d{1,3}(?:(?:,|\{,\})\d{3})+)(?![\d,])")
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
_SIGNS = str.maketrans({"−": "-", "，": ",", "、": ",", "。": ".", "⁄": "/", "【": "[", "】": "]"})
_VULGAR = re.compile("[¼-¾⅐-⅞]")


def one_width(text: str) -> str:
    """Full-width and other compatibility characters as plain ones.

    A raised digit stays a power (10² is 10^{2}), a fraction a fraction (2½ is 2\\frac{1}{2}).
    """
    text = _VULGAR.sub(lambda m: rf"\frac{{{unicodedata.normalize('NFKC', m[0]).replace('⁄', '}{')}}}", text)
    text = _RAISED.sub(lambda m: "^{" + unicodedata.normalize("NFKC", m[0]) + "}", text)
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


_HAN = "\u3400-\u4dbf\u4e00-\u9fff\u3000-\u303f"
_HAN_TEXT = re.compile(rf"\\(?:text|mathrm|mbox|textbf)\s*\{{[^{{}}]*[{_HAN}][^{{}}]*\}}|[{_HAN}]+[:：]?")
_EQUALS = re.compile(rf"(?<=[A-Za-z0-9)}}])\s*(?:等于|为|是)\s*(?=[^\s{_HAN}])")
_CURRENCY = re.compile(r"^[€£¥]\s*(?=[-+.\d])|(?<=\d)\s*[€£¥]$")
_BARE_POWER = re.compile(r"\^(-\d+)")  # in LaTeX 10^-3 is 10 with a raised minus, and 3
_E_NOTATION = re.compile(r"(?<![\w.])([+-]?\d++(?:\.\d*+)?)[eE]([+-]?\d++)\Z")


def for_algebra(text: str) -> str:
    """An answer for a parser of expressions: one width, no Chinese words around numbers, 1.5e3 as a power of ten."""
    text = _EQUALS.sub("=", _CURRENCY.sub("", one_width(text).strip()))
    bare = _HAN_TEXT.sub(" ", text).strip()
    text = bare if re.search(r"[0-9A-Za-z]", re.sub(r"\\[A-Za-z]+", "", bare)) else text
    text = text[:-1].rstrip() if text.endswith(".") and not text.endswith("..") else text
    return _E_NOTATION.sub(r"\1\\times 10^{\2}", _BARE_POWER.sub(r"^{\1}", text))


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
_QUOTES = '"“”‘’「」『』'


def squeeze(text: str) -> str:
    """A key for equality: normalised, text macros opened, without spaces outside words."""
    text = _EMPTY_SET.sub(r"\\emptyset", _TEXT.sub(r"\1", normalise(text)))
    return re.sub(r"\s+", "", text).strip(_QUOTES)


def is_close(one: Decimal, other: Decimal) -> bool:
    """Whether two numbers are the same: whole ones exactly, others to a millionth of the second. Of any length."""
    with localcontext(WIDE):
        slack = abs(other).scaleb(-6) if _fractional(one) or _fractional(other) else Decimal(0)
        return abs(one - other) <= slack


def plain(number: Decimal) -> str:
    """One text per value: 2.50 and 2.5 are the same, to the last digit."""
    with localcontext(WIDE):
        return str(number.normalize())


def _fractional(number: Decimal) -> bool:
    return number != number.to_integral_value()


def decimal_of(text: str) -> Decimal | None:
    """The number that `text` plainly is; None for anything with more to it."""
    text = normalise(text)
    if len(text) > 400 or not _NUMBER.match(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
