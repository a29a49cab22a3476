"""Sums of money: the currency that an answer names, and cents and pence as hundredths of it."""

import re

_DOLLAR, _EURO, _POUND, _EAST, _RUPEE = "dollar", "euro", "pound", "yen or yuan", "rupee"
_SIGNS = {"$": _DOLLAR, "€": _EURO, "£": _POUND, "¥": _EAST, "￥": _EAST, "₹": _RUPEE}
_WORDS = {
    "dollar": _DOLLAR, "usd": _DOLLAR, "euro": _EURO, "eur": _EURO, "gbp": _POUND, "pound": _POUND, "yen": _EAST,
    "jpy": _EAST, "yuan": _EAST, "rmb": _EAST, "rupee": _RUPEE, "inr": _RUPEE, "franc": "franc", "peso": "peso",
    "ruble": "ruble", "rouble": "ruble",
}  # fmt: skip
_HUNDREDTHS = {"cent": {_DOLLAR, _EURO}, "¢": {_DOLLAR, _EURO}, "pence": {_POUND}, "penny": {_POUND}}
_STYLE = r"(?:\\(?:text|textrm|mathrm|mbox)\s*\{\s*)?"
_SIGN = re.compile(rf"\s*\$?\s*{_STYLE}(?P<sign>\\\$|\\pounds(?![A-Za-z])|[€£¥￥₹])\s*\}}?")
_PLAIN_DOLLAR = re.compile(r"\s*\$(?=\s*[\d.])(?!.*\$)", re.DOTALL)  # $5, and not $5$
_SPACE = r"(?:\\[ ,;!]|[\s~])*"
_WORD = re.compile(r"(?P<rest>.*[\d})])" + _SPACE + _STYLE + r"~?(?P<word>[A-Za-z]+|¢)\s*\}?\s*\$?\s*\.?\Z", re.DOTALL)
_LONGEST = 200


def _named(text: str) -> tuple[set[str], int, str] | None:
    """Return (the currencies that an amount may be of, how many of its unit are one of them, the amount), or None."""
    if len(text) > _LONGEST:
        return None
    if found := _SIGN.match(text):
        sign = found["sign"]
        currency = _DOLLAR if sign == "\\$" else _POUND if sign == "\\pounds" else _SIGNS[sign]
        return {currency}, 1, text[found.end() :]
    if found := _PLAIN_DOLLAR.match(text):
        return {_DOLLAR}, 1, text[found.end() :]
    if not (found := _WORD.match(text)):
        return None
    word = found["word"].lower()
    word = word.removesuffix("s")
    if word in _HUNDREDTHS:
        return _HUNDREDTHS[word], 100, found["rest"]
    return ({_WORDS[word]}, 1, found["rest"]) if word in _WORDS else None


def in_one_currency(gold: str, answer: str) -> tuple[str, str] | None:
    """Return two answers with their cents as hundredths where only one is in cents; None for two currencies."""
    one, two = _named(gold), _named(answer)
    if one is None or two is None:
        return gold, answer
    if not one[0] & two[0]:
        return None
    if one[1] == two[1]:
        return gold, answer
    return _amount(one), _amount(two)


def _amount(named: tuple[set[str], int, str]) -> str:
    amount = named[2].replace("$", " ").strip()
    return amount if named[1] == 1 else rf"\frac{{{amount}}}{{{named[1]}}}"
