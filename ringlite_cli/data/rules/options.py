"""Lists of choices in a prompt: lettered from A or F, or under other marks and with the answer among them."""

import re
from collections.abc import Iterable, Iterator, Sequence

_OPTION = re.compile(r"(?:(?<![A-Za-z])|(?<=quad))\(([A-K])\)(?!\s*[(\[{][A-K])")
_BEFORE = r"(?:\A|(?<=[\s;,。；\u4e00-\u9fff})\]'\"]))"
_DOTTED = tuple(  # A. 2 B. 3 C. 5, on one line or several; letters from A, or from F as in every other question of ACT
    re.compile(
        rf"{_BEFORE}{a}\s*[.)、]\s*(?=\S).{{1,200}}?{_BEFORE}{b}\s*[.)、]\s*(?=\S).{{1,200}}?{_BEFORE}{c}\s*[.)、]\s*(?=\S)",
        re.S,
    )
    for a, b, c in ("ABC", "FGH")
)
_LINE = r"(?:^|\n)[ \t]*(?:[-*•]\s*)?\**"
_LINES = re.compile(rf"{_LINE}([AF])[.)]\s.*?{_LINE}[BG][.)]\s", re.S)
_BARE_LINES = re.compile(r"^[ \t]*([A-K])[ \t]+(\S[^&\n]*)$", re.M)  # a line each: "A 54", "B 56", "C 58"
_BARE_ROW = re.compile(r"(?<![A-Za-z])A\s+\S.{0,80}?[;；,，]\s*B\s+\S.{0,80}?[;；,，]\s*C\s+\S", re.S)
_CHOOSE = re.compile(
    r"\b(?:choose|select|pick|mark|circle)\b[^.?!\n]{0,40}\b(?:answer|option|choice|alternative)\b"
    r"|\b(?:choose|select|pick) (?:only )?one\s*(?:[.:!)]|\Z)"
    r"|\b(?:best|correct|right) (?:answer|option|choice|alternative)\b"
    r"|\b(?:answer|reply|respond) with (?:only )?(?:the|a) (?:\w+ )?(?:letter|label|index|numeral|option)\b"
    r"|选择|选出|选项|正确的?序号|哪[个项]",
    re.I,
)
_CHOOSING = (
    "answer",
    " one",
    "option",
    "choice",
    "alternative",
    "the letter",
    "the label",
    "numeral",
    "选",
    "序号",
    "哪",
)
_ANY_LETTER = re.compile(r"(?:(?<=\()|(?<![\w(]))([A-Za-z])[.)]\s")
_HEADED = re.compile(
    r"(?:\A|\n|[.?!]\s+)[*_#\s]*(?:(?:[Aa]nswer|[Pp]ossible) )?(?:[Cc]hoices|[Oo]ptions|[Aa]nswers)\b[*_]*\s*[:：]\s*\S"
)
_SERIES = (
    "ABCDEFGHIJK",
    "FGHIJK",
    "abcdefghijk",
    "123456789",
    "甲乙丙丁戊己",
    "①②③④⑤⑥⑦⑧⑨",
    ("I", "II", "III", "IV", "V", "VI"),
    ("i", "ii", "iii", "iv", "v", "vi"),
)
_MARK = re.compile(
    r"(?:\A|(?<=[\s;,。；?？:：]))(?:([①-⑨])\s*|[(（\[{]?([A-Ka-k]|[1-9]|[IVivX]{1,4}|[甲乙丙丁戊己])[.)）\]}:、．]\s*)(?=\S)"
)
_SECOND = re.compile(r"[bBG2iI乙][.)）\]}:、．]|②")  # stands in every list that `_MARK` finds
_ITEM_END = re.compile(r"\n|[;；。]|[.?!](?:\s|\Z)")
_DRESS = re.compile(r"\\(?:text(?:bf)?|mathrm|mbox)\{([^{}]*)\}|[$()（）\[\]\s]|[.,;]\Z")
_FEWEST = 3
_A_NAME = 3  # times that "(A)" stands where it names a thing


def is_lettered(text: str) -> bool:
    """Return whether three capitals in a row stand before choices; "(A) ..., and (B) ..." lists conditions."""
    if "(" in text and text.count("(A)") < _A_NAME:
        letters = [m[1] for m in _OPTION.finditer(text) if not text[: m.start()].endswith("and ")]
        if _in_a_row(letters):
            return True
    if ":" in text and _HEADED.search(text):
        return True
    if asks_to_choose(text) and _in_a_row(m[1] for m in _ANY_LETTER.finditer(text)):
        return True
    if not any(map(text.lower().__contains__, ("b.", "b)", "b、", "g.", "g)"))):
        return False
    return bool(_LINES.search(text)) or any(pattern.search(text) for pattern in _DOTTED)


def asks_to_choose(text: str) -> bool:
    """Return whether the text speaks of choosing an option or of its mark."""
    return any(map(text.lower().__contains__, _CHOOSING)) and bool(_CHOOSE.search(text))


def is_among_options(text: str, answer: str | None) -> bool:
    """Return whether the answer is an item, or the mark of an item, of a list under A, a), 1), I., ① or 甲.

    A digit or Roman numeral is a value as well, and counts as a mark only where the text asks for a choice.
    """
    due = _bare(answer or "")
    if not due:
        return False
    if due in ("a", "b", "c", "d", "e") and _BARE_ROW.search(text):
        return True
    for labels, items in _lists(text):
        offered = {_bare(item) for item in items}
        if due in offered and len(offered) == len(items):  # choices differ; the values of A, B and C may not
            return True
        if due in map(str.lower, labels) and (labels[0] in "aAF①甲" or asks_to_choose(text)):
            return True
    return False


def _lists(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield (marks, items) of each list of three or more under marks that follow one another."""
    lines = _BARE_LINES.findall(text) if "\n" in text else []
    if _in_a_row(mark for mark, _ in lines):
        yield [mark for mark, _ in lines], [item for _, item in lines]
    if not _SECOND.search(text):
        return
    marks = list(_MARK.finditer(text))
    for series in _SERIES:
        here = [match for match in marks if (match[1] or match[2]) in series]
        for run in _runs(here, series):
            ends = [match.start() for match in run[1:]] + [len(text)]
            items = [text[match.end() : end] for match, end in zip(run, ends, strict=True)]
            yield [match[1] or match[2] for match in run], [_ITEM_END.split(item, maxsplit=1)[0] for item in items]


def _runs(marks: Sequence[re.Match[str]], series: Sequence[str]) -> Iterator[list[re.Match[str]]]:
    """Yield the runs of marks that count up from the first of a series."""
    run: list[re.Match[str]] = []
    for mark in [*marks, None]:
        if mark is not None and len(run) < len(series) and (mark[1] or mark[2]) == series[len(run)]:
            run.append(mark)
            continue
        if len(run) >= _FEWEST:
            yield run
        run = [mark] if mark is not None and (mark[1] or mark[2]) == series[0] else []


def _bare(text: str) -> str:
    return _DRESS.sub(lambda match: match[1] or "", text.strip()).lower()


def _in_a_row(found: Iterable[str]) -> bool:
    """Whether three letters follow one another as in the alphabet."""
    places = list(map(ord, found))
    return any(c - b == b - a == 1 for a, b, c in zip(places, places[1:], places[2:], strict=False))
