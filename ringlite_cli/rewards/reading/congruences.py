"""Residue classes: x = 3 (mod 7), x = 10 (mod 7) and x = 7k + 3 are the same integers."""

import re

_SYMBOL = r"(?:(?P<symbol>[A-Za-z])\s*(?:\\equiv|=|\\in)\s*)?"
_MODULUS = (
    r"(?:\\pmod|\\bmod|\\mod|\(?\s*(?:\\text\s*\{\s*)?mod(?![a-z])\s*\}?)\s*\{?\s*(?P<modulus>\d{1,9})\s*\}?\s*\)?"
)
_CLASS = re.compile(rf"\s*{_SYMBOL}(?P<residues>[^=]*?\d)\s*{_MODULUS}\s*\Z")
_FAMILY = re.compile(
    r"\s*(?:(?P<symbol>[A-Za-z])\s*=\s*)?(?:(?P<first>-?\d{1,9})\s*\+\s*)?(?P<modulus>\d{1,9})\s*(?P<k>[kmnt])"
    r"(?:\s*(?P<last>[+-]\s*\d{1,9}))?\s*(?P<where>.*)\Z",
    re.DOTALL,
)
_INTEGER = re.compile(
    r"(?:[,;]|\\quad|\\text\s*\{\s*(?:where|for|with)?[^{}]*\}|\s|[()])*(?P<k>[kmnt])\s*\\in\s*\\mathbb\s*\{?Z\}?\)?\s*\Z"
)
_JOINER = re.compile(
    r"\s*(?:,\s*(?:\\text\s*\{\s*)?(?:and|or)\b\s*\}?|\\text\s*\{\s*(?:and|or)\s*\}|,|\band\b|\bor\b)\s*"
)
_RESIDUE = re.compile(r"(\\pm\s*)?(-?\s*\d{1,9})\Z")
_LONGEST = 300


def same_classes(gold: str, answer: str) -> bool | None:
    """Return whether two answers are the same residue classes; None where one is no class, or neither names a modulus.

    Both are in the reader's spelling. A symbol may be left out.
    """
    if len(gold) > _LONGEST or len(answer) > _LONGEST or not (_CLASS.match(gold) or _CLASS.match(answer)):
        return None
    one, two = _classes(gold), _classes(answer)
    if one is None or two is None:
        return None
    same_symbol = one[0] == two[0] or "" in (one[0], two[0])
    return same_symbol and one[1:] == two[1:]


def _classes(text: str) -> tuple[str, int, frozenset[int]] | None:
    """Return (symbol, modulus, residues)."""
    if (found := _CLASS.match(text)) and int(found["modulus"]) > 1:
        modulus, residues = int(found["modulus"]), set()
        for part in _JOINER.split(found["residues"].strip()):
            residue = _RESIDUE.match(part.strip())
            if residue is None:
                return None
            value = int(residue[2].replace(" ", ""))
            residues |= {value % modulus} | ({-value % modulus} if residue[1] else set())
        return found["symbol"] or "", modulus, frozenset(residues)
    if (found := _FAMILY.match(text)) and int(found["modulus"]) > 1 and not (found["first"] and found["last"]):
        bound = _INTEGER.match(found["where"])
        if bound is None or bound["k"] != found["k"]:
            return None
        shift = int((found["first"] or found["last"] or "0").replace(" ", ""))
        return found["symbol"] or "", int(found["modulus"]), frozenset({shift % int(found["modulus"])})
    return None
