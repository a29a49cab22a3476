"""The verdict on an answer: both sides read whole and compared, or compared as text."""

import math
import re
from functools import lru_cache

from ringlite_cli.rewards.normalise import PAIRED
from ringlite_cli.rewards.reading.answers import read
from ringlite_cli.rewards.reading.congruences import same_classes
from ringlite_cli.rewards.reading.dates import same_moment
from ringlite_cli.rewards.reading.forms import Form, Items, Ratio, Words
from ringlite_cli.rewards.reading.money import in_one_currency
from ringlite_cli.rewards.reading.same import same
from ringlite_cli.rewards.reading.same_values import Rules
from ringlite_cli.rewards.reading.spelling import spell
from ringlite_cli.rewards.reading.tokens import Unread

READ_AS_TEXT = "read: text"
_STYLE = re.compile(
    r"\\(?:text|textrm|textbf|textit|texttt|mbox|mathrm|mathbf|mathit|operatorname|ce|rm|bf)(?![A-Za-z])\*?"
)
_STYLED = re.compile(
    r"\\(?:text|textrm|textbf|textit|texttt|mbox|mathrm|mathbf|mathit|operatorname|ce)\*?\s*\{([^{}]*)\}"
)
_SPACING = re.compile(r"\\(?:left|right|big|Big|displaystyle|quad|qquad)(?![A-Za-z])|\\[,;:! ]|[\s~\"]")
_SINGLE = re.compile(r"([_^])\{(\w)\}(?!\w)")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*|[()]|[+-]\Z)+\Z")
_CHARGED = re.compile(r"(\^\d+)?((?:[A-Z][a-z]?\d*|[()])+)(\^\d*[+-]|[+-])\Z")
_ISOTOPE = re.compile(r"\^\d+[A-Z][a-z]?\Z")
_ELECTRONS = re.compile(r"(?:\[[A-Z][a-z]\])?(?:\d[spdf]\^?\d+)+\Z|sp\^?[23]?\Z")
_CAPITALS = frozenset({"YES", "ALL", "TRUE", "FALSE", "NONE"})
_NOON = re.compile(r"(?<![A-Za-z])([APap])\.?\s?[Mm](?![A-Za-z])\.?")
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_CASE_COMMAS = re.compile(r"[,;.]\s*(?=&|\\cr|\\end\{cases)")
_CASE_WORDS = re.compile(r"&\s*(?:if|when|for|where)\b(?![a-z])\s*")
_LETTERS = "ABCDEFGHIJK"
_ONE_LETTER = re.compile(r"\(?([A-Za-z])\)?\Z")
_OPTION = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)(?:\s+is)?\s*:?\s*)?\(?([A-Za-z])(?:\)|[.:](?=\s)|\Z)", re.I
)
_ANOTHER = re.compile(r"\s*(?:,|;|/|&|and\b|or\b)\s*\(?[A-Ka-k]\)?(?![A-Za-z])", re.I)  # (A), (B) chooses nothing
_APART = re.compile(r"(?<=\d)\s+(?=\d)")  # "1 2" is not 12
_WORD = re.compile(r"[A-Za-z]{3,}")


def judge(golds: list[str], answer: str, tolerance: float = 0.0) -> tuple[str, str]:
    """Return (correct, wrong or unparsed; a detail) for an answer beside the accepted ones.

    tolerance: relative, of numbers; 0 in mathematics. An answer that is not read whole is compared as text, and the
    detail says `read: text`.
    """
    details = []
    for gold in golds:
        equal, how = compare(gold, answer, tolerance)
        if equal:
            return "correct", how
        details.append(how)
    detail = f"expected {golds[0][:80]}, got {answer[:80]}"
    return "wrong", f"{READ_AS_TEXT}; {detail}" if READ_AS_TEXT in details else detail


def compare(gold: str, answer: str, tolerance: float = 0.0) -> tuple[bool, str]:
    """Return whether two answers are the same, and `read: text` where one of them was not read whole."""
    pair = in_one_currency(gold, answer)
    if pair is None:
        return False, ""
    gold, answer = pair
    wanted, got = _form(gold), _form(answer)
    if isinstance(wanted, Ratio) and isinstance(got, str):
        got = _form(re.sub(r"\s+to\s+", ":", answer))
    how = READ_AS_TEXT if isinstance(wanted, str) or isinstance(got, str) else ""
    if (key := text_key(gold)) and key == text_key(answer):
        return True, how
    if (moment := same_moment(gold, answer)) is not None:
        return moment, ""
    if (classes := same_classes(spell(gold), spell(answer))) is not None:
        return classes, ""
    if several_choices(gold, answer):
        return True, ""
    if (letter := choice_of(gold)) and (said := choice_of(answer, whole=False)):
        return letter == said, ""
    if isinstance(wanted, str) or isinstance(got, str) or _is_time_of_day(gold):
        return False, how
    try:
        return same(wanted, got, Rules(tolerance)), ""
    except (Unread, RecursionError):
        return False, READ_AS_TEXT


def _is_time_of_day(gold: str) -> bool:
    """Return whether two numbers with a colon can hardly be a ratio: 12:00, 9:05, 10:30, which is not 1:3."""
    found = _CLOCK.fullmatch(gold.strip().strip("$"))
    return found is not None and (found[2].startswith("0") or math.gcd(int(found[1]), int(found[2])) > 1)


def fault_of_gold(gold: str) -> str:
    """Return why a gold answer is not read as a whole, or ''. Such an answer can be compared as text alone."""
    found = _form(gold)
    if not isinstance(found, str) or same_moment(gold, gold) or same_classes(spell(gold), spell(gold)):
        return ""
    return found


def is_sentence(gold: str) -> bool:
    """Return whether a gold answer is several words and no number, which a response would hardly repeat."""
    found = _form(gold)
    return isinstance(found, Words) and len(found.text.split()) > 1


def explain(gold: str, answer: str, tolerance: float = 0.0) -> str:
    """Return how both answers are read and whether they are the same, for a person."""
    lines = []
    for name, text in (("gold", gold), ("answer", answer)):
        found = _form(text)
        lines.append(f"{name}: {text}")
        lines.append(
            f"  read as {described(found)}" if not isinstance(found, str) else f"  not read whole ({found}): text"
        )
    verdict, detail = judge([gold], answer, tolerance)
    return "\n".join([*lines, f"verdict: {verdict}" + (f" ({detail})" if detail else "")])


def described(form: Form) -> str:
    """Return the kind of a form in words."""
    kind = type(form).__name__.strip("_").lower()
    if isinstance(form, Items):
        inside = ", ".join(described(item) for item in form.items[:6])
        more = " ..." if len(form.items) > 6 else ""
        return f"{len(form.items)} items {form.brackets or 'without brackets'} ({inside}{more})"
    words = getattr(form, "words", "")
    return {"value": "a value", "relation": "a relation", "words": "words", "numbers": "a named set"}.get(
        kind, f"a {kind}"
    ) + (f" with the unit or words {words!r}" if words else "")


@lru_cache(maxsize=4096)
def _form(text: str) -> Form | str:
    """Return the form of a text, or why it cannot be read."""
    try:
        return read(text)
    except Unread as error:
        return str(error) or "not understood"
    except (ValueError, ArithmeticError, IndexError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def text_key(text: str) -> str:
    """Return a text without styles, spacing and quotes; words in small letters. Braces and lowered signs count.

    A chemical formula is its letters and digits: H_2O is H2O.
    """
    text = _NOON.sub(lambda m: m[1].lower() + "m", _opened(spell(text)))
    text = _CASE_WORDS.sub("&", _CASE_COMMAS.sub("", text))
    plain = _SINGLE.sub(r"\1\2", _SPACING.sub("", _APART.sub("|", text)))
    if formula := _formula(plain):
        return formula
    return _WORD.sub(lambda m: _small(m[0]), plain)


def _small(word: str) -> str:
    """Return a word that starts large in small letters; a genotype and an abbreviation stay as they are."""
    starts_large = word == word.capitalize() and not PAIRED.match(word)
    return word.lower() if starts_large or word in _CAPITALS else word


def _opened(text: str) -> str:
    """Return a text with its style commands taken off, those inside others first."""
    for _ in range(3):
        text = _STYLED.sub(r"\1", text)
    return _STYLE.sub("", text)


def _formula(plain: str) -> str:
    """Return a chemical formula without marks of lowering, or '' for anything else."""
    flat = re.sub(r"[_{}]", "", plain) if len(plain) < 100 else ""
    if _ELECTRONS.match(electrons := flat.replace("|", "")):
        return electrons.replace("^", "")
    if _ISOTOPE.match(flat):
        return flat
    if charged := _CHARGED.match(flat):
        return f"{charged[1]}{charged[2]}^{charged[3].removeprefix('^')}"
    elements = sum(sign.isupper() for sign in flat)
    return flat if elements > 1 and any(sign.isdigit() for sign in flat) and _FORMULA.match(flat) else ""


_CHOICES = re.compile(r"\(?([A-K])\)?(?:(?:\s*[,;/&、]\s*|\s+and\s+|\s*,\s*and\s+|\s+)\(?([A-K])\)?)+\Z")
_TOGETHER = re.compile(r"[A-K]{3,}\Z")  # AB may be a blood type or a segment, and no A and B


def several_choices(gold: str, answer: str) -> bool:
    """Return whether ACD and `A, C, D` choose the same letters. Letters written together are in their order."""
    plain = [_opened(spell(text)).replace("{", "").replace("}", "").strip() for text in (gold, answer)]
    together = [text for text in plain if _TOGETHER.match(text) and list(text) == sorted(set(text))]
    apart = [re.findall(r"[A-K]", text.replace("and", "")) for text in plain if _CHOICES.match(text)]
    return len(together) == len(apart) == 1 and sorted(apart[0]) == list(together[0])


def choice_of(text: str, *, whole: bool = True) -> str:
    """Return the letter of a multiple choice as a capital, or ''.

    (b) and B are letters; `(b) because ...` is one where the text need not be it whole.
    """
    plain = re.sub(
        r"\s+", " ", _STYLE.sub("", spell(text)).replace("{", "").replace("}", "").replace("\\ ", " ")
    ).strip()
    if found := _ONE_LETTER.match(plain):
        bracketed = plain.startswith("(") or found[1].isupper()
        return found[1].upper() if bracketed and found[1].upper() in _LETTERS else ""
    if whole:
        return ""
    found = _OPTION.match(plain)
    if not found or _ANOTHER.match(plain, found.end()):
        return ""
    return found[1].upper() if found[1].upper() in _LETTERS else ""
