"""Habits of plain text and markup in answers: colours, stars, separators of thousands, "x10^", dots after a period."""

import re

_COLOUR = re.compile(r"\\textcolor\s*\{[^{}]{0,40}\}|\\color\s*\{[^{}]{0,40}\}")
_STARRED = re.compile(r"\*([^*]{1,300})\*\Z|`([^`]{1,300})`\Z")
_TIMES_TEN = re.compile(r"(?<=\d)\s*x\s*(?=10\s*(?:\^|\*\*))")
_POINTS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{3}){2,}(?![\d.])")
_QUOTES = re.compile(r"(?<![\d'])\d{1,3}(?:'\d{3})+(?![\d'])")
_LOW_LINES = re.compile(r"(?<![\w])\d{1,3}(?:_\d{3}){2,}(?!\w)")
_NAMES = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen",
)  # fmt: skip
_BASES = {name: str(base) for base, name in enumerate(_NAMES, 2)}
_NAMED_BASE = re.compile(r"(?<=\w)_\s*\{?\s*\\text(?:rm|it)?\s*\{\s*(" + "|".join(_BASES) + r")\s*\}\s*\}?")
_ENDLESS = re.compile(r"(?<![\d.])(\d{0,15})\.(\d{2,60})(?:\\(?:ldots|dots|cdots)(?![A-Za-z])|\.{3})\s*\Z")
_ARC = re.compile(r"(?<![\d.])(\d{1,3})\s*\^\s*\{?\s*\\circ\s*\}?\s*(\d{1,2})\s*'(?:\s*(\d{1,2})\s*'')?(?![\d'])")
_SQUARE = re.compile(r"\b(sq|square|cu|cubic)\.?\s+(in|ft|yd|mi|cm|mm|km|m)\b\.?(?![A-Za-z])")
_SYSTEM = re.compile(r"\\left\s*(?:\\\{|\\lbrace)\s*\\begin\s*\{(array|aligned|matrix)\}(?:\s*\{[lcr| ]{1,9}\})?")
_SYSTEM_END = re.compile(r"\\end\s*\{(?:array|aligned|matrix)\}\s*\\right\s*\.")


def plain_habits(text: str) -> str:
    """Return an answer with its markup taken off and its numbers as LaTeX has them."""
    text = _COLOUR.sub("", text)
    if starred := _STARRED.match(text):
        text = starred[1] or starred[2]
    text = re.sub(r"\A\s*=\s*(?=\S)", "", text)
    text = re.sub(r"\A\s*\+-\s*|\+/-", r"\\pm ", text)
    text = re.sub(r"(?<!\s)\s+only\W*\Z", "", text)
    text = re.sub(r"\\gt(?![A-Za-z])", ">", re.sub(r"\\lt(?![A-Za-z])", "<", text))
    text = _TIMES_TEN.sub(r"\\times ", text)
    for groups, sign in ((_POINTS, "."), (_QUOTES, "'"), (_LOW_LINES, "_")):
        text = groups.sub(lambda m, sign=sign: m[0].replace(sign, ""), text)  # type: ignore[misc]
    text = _NAMED_BASE.sub(lambda m: "_{" + _BASES[m[1]] + "}", text)
    return _system(_SQUARE.sub(_area, text))


def late_habits(text: str) -> str:
    """Return an answer whose signs are LaTeX with minutes of arc and periods before dots as fractions."""
    return _ARC.sub(_degrees, _ENDLESS.sub(_repeated, text))


def _system(text: str) -> str:
    """Return a brace before lines as cases."""
    if _SYSTEM.search(text) and len(_SYSTEM.findall(text)) == len(_SYSTEM_END.findall(text)) == 1:
        return _SYSTEM_END.sub(r"\\end{cases}", _SYSTEM.sub(r"\\begin{cases}", text))
    return text


def _area(match: re.Match[str]) -> str:
    return rf"\text{{ {match[2]}}}^{2 if match[1][0] == 's' else 3}"


def _degrees(match: re.Match[str]) -> str:
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0)
    return rf"\frac{{{seconds}}}{{3600}}^{{\circ}}"


def _repeated(match: re.Match[str]) -> str:
    """0.1666... as 0.1\\overline{6}: a period that stands there three times, or twice where it is long."""
    whole, digits = match.groups()
    for length in range(1, len(digits) // 2 + 1):
        period, times = digits[-length:], 1
        while digits.endswith(period * (times + 1)):
            times += 1
        if times >= (3 if length < 3 else 2):
            return rf"{whole or 0}.{digits[: len(digits) - times * length]}\overline{{{period}}}"
    return match[0]
