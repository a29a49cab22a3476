"""Prompts whose answer is picked from a few: guessed one time in two, three or four. English and Chinese."""

import re
from collections.abc import Iterable

from ringlite_cli.data.rules.figures import without_drawings
from ringlite_cli.data.rules.prompts import PROMPTS
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

_HALFWIDTH = str.maketrans("（）．：，？", "().:,?")
_OPTION = re.compile(r"\(([A-K])\)")
_BEFORE = r"(?:\A|(?<=[\s;,。；\u4e00-\u9fff}]))"
_DOTTED = tuple(  # A. 2 B. 3 C. 5, on one line or several; letters from A, or from F as in every other question of ACT
    re.compile(
        rf"{_BEFORE}{a}\s*[.)、]\s*(?=\S).{{1,200}}?{_BEFORE}{b}\s*[.)、]\s*(?=\S).{{1,200}}?{_BEFORE}{c}\s*[.)、]\s*(?=\S)",
        re.S,
    )
    for a, b, c in ("ABC", "FGH")
)
_LINES = re.compile(r"(?:^|\n)\s*([AF])[.):]\s.*?\n\s*[BG][.):]\s", re.S)
_CHOOSE = re.compile(
    r"\b(?:choose|select|pick|mark|circle)\b[^.?!\n]{0,40}\b(?:answer|option|choice|alternative)\b"
    r"|\b(?:best|correct|right) (?:answer|option|choice|alternative)\b",
    re.I,
)
_ANY_LETTER = re.compile(r"(?:(?<=\()|(?<![\w(]))([A-Za-z])[.)]\s")
_NAMED = (  # Enter "odd", "even", or "neither"; "C" for circle, "E" for ellipse
    re.compile(
        r"\b(?:Enter|Write|(?:A|a)nswer(?: with)?) (?:either )?[\"“][^\"”\n]+[\"”][^.?!\"“]{0,40}(?:,| or) [\"“]"
    ),
    re.compile(r"\blist of (?:those|the (?:correct|true|valid)) (?:options|choices)\b", re.I),
)
_NAMED_WORDS = ("enter ", "answer ", "respond with ", "write ", "list of ")
_EITHER = re.compile(  # Is f even or odd?
    r"(?:\A|[.?!,;:]\s+|\n)\s*(?:is|are|was|were|does|do|did|will|would|can)\b[^.?!]*\bor\b[^.?!]*\?\s*\Z", re.I
)
_SAY = r"\b(?:return|output|print|enter|answer|give|write|type|respond|reply|submit|use|put|state|say|mark)\b"
_CODE = r"[\"'`“$]*(-?[0-9])[\"'`”$]*"
_CODED = re.compile(
    rf"{_SAY}[^.?!]{{0,30}}?\s{_CODE}\s*(?:,\s*)?(?:for|if|when|to mean|meaning|=)\s[^.?!]{{1,80}}?"
    rf"(?:\b(?:and|or|else|otherwise)\b|[,;])[^.?!]{{0,40}}?(?<![\w^]){_CODE}(?![\w^])",
    re.I,
)
_TRUE_FALSE = re.compile(
    r"\btrue (?:or|/) ?false\b|\bT/F\b|\bis (?:this|the) statement (?:true|false)\b"
    r"|判断(?:对错|正误|真假|题)|(?:说法|命题|结论|叙述|等式)是否(?:正确|成立|为真)|对还是错|正确还是错误|真(?:命题)?还是假|是(?:真|假)命题吗|打[“\"']?[√✓]",
    re.I,
)
_TRUE_OR_FALSE = frozenset(
    ("true", "false", "对", "错", "正确", "错误", "√", "×", "✓", "✗", "真", "假", "真命题", "假命题")
)
_YES_NO = re.compile(r"\byes (?:or|/) ?no\b|\byes/no\b", re.I)
_YES_OR_NO = frozenset(("yes", "no", "是", "否", "不是", "能", "不能", "可以", "不可以", "会", "不会", "有", "没有"))
_FIRST_WORD = re.compile(r"(?:\\text(?:bf)?\{)?\s*([A-Za-z]+|[\u4e00-\u9fff√×✓✗]{1,3})\s*\}?\s*(?:[.,;:!。，；]|\Z)")
_WHICH = re.compile(
    r"\b(?:which|what|how many|select|choose|identify|pick|circle)\b[^.?!\n]{0,60}?\b(?:of|from|among) the"
    r" (?:following|(?:given |listed )?(?:options|choices|alternatives))\b"
    r"|\b[Ww]hich(?: one)? of these (?:options|choices|statements|is|are|has|have|can|could|must)\b"
    r"|(?:下列|以下|下面)[^。？?]{0,60}?(?:的是|的有|是|为|正确)",
    re.I,
)
_LIST_BEFORE = re.compile(r"\n\s*(?:[-*•]|\(?[1-9ivxIVX]+[.)]|[①-⑩])\s|[①②]|:\s*\S.*(?:,|;|\band\b)", re.S)
_LISTED = re.compile(r"[,;、:]|\bor\b|\n|\\\\|[①-⑩]")


def _mentions(text: str, words: Iterable[str]) -> bool:
    return any(map(text.lower().__contains__, words))


@PROMPTS.rule
def multiple_choice(problem: Problem) -> str | None:
    """Lettered choices, words or codes to choose from ("odd", "even" or "neither"): guessed one time in four or so."""
    if str(problem.labels.get("question_type", "")).lower() == "mcq":
        return "multiple_choice"
    if writes_code(problem.domain):
        return None
    text = without_drawings(problem.prompt)
    text = text if text.isascii() else text.translate(_HALFWIDTH)
    if _lettered(text):
        return "multiple_choice"
    named = _mentions(text, _NAMED_WORDS) and any(pattern.search(text) for pattern in _NAMED)
    return "multiple_choice" if named or _answer_is_offered(problem, text) else None


@PROMPTS.rule
def true_or_false(problem: Problem) -> str | None:
    """Asks true or false, or is answered so: guessed every other time."""
    if writes_code(problem.domain):
        return None
    asked = _mentions(problem.prompt, ("true", "t/f", "判断", "是否", "错", "√")) and _TRUE_FALSE.search(problem.prompt)
    return "true_false" if asked or _first_word(problem) in _TRUE_OR_FALSE else None


@PROMPTS.rule
def yes_or_no(problem: Problem) -> str | None:
    """Asks yes or no, or for 1 if so and 0 if not, or is answered so: guessed every other time."""
    if writes_code(problem.domain):
        return None
    asked = _mentions(problem.prompt, ("yes",)) and _YES_NO.search(problem.prompt)
    coded = len((problem.answer or "").strip("$ ")) <= 2 and _CODED.search(problem.prompt)
    return "yes_no" if asked or coded or _first_word(problem) in _YES_OR_NO else None


@PROMPTS.rule
def choices_missing(problem: Problem) -> str | None:
    """Asks which of the following, and nothing follows."""
    if writes_code(problem.domain) or not _mentions(problem.prompt, ("of ", "from ", "among ", "下")):
        return None
    found = _WHICH.search(problem.prompt)
    if found is None or _LIST_BEFORE.search(problem.prompt[: found.start()]):
        return None
    return None if _LISTED.search(problem.prompt[found.end() :].strip(" .?:。？：\n()（）")) else "choices_missing"


def _lettered(text: str) -> bool:
    """Whether three letters in a row stand before choices; "(A) ..., and (B) ..." lists conditions."""
    if "(" in text:
        letters = [m[1] for m in _OPTION.finditer(text) if not text[: m.start()].endswith("and ")]
        if _in_a_row(letters):
            return True
    if _CHOOSE.search(text) and _in_a_row(m[1] for m in _ANY_LETTER.finditer(text)):
        return True
    if not _mentions(text, ("b.", "b)", "b:", "b、", "g.", "g)", "g:")):
        return False
    return bool(_LINES.search(text)) or any(pattern.search(text) for pattern in _DOTTED)


def _in_a_row(found: Iterable[str]) -> bool:
    """Whether three letters follow one another as in the alphabet."""
    places = list(map(ord, found))
    return any(c - b == b - a == 1 for a, b, c in zip(places, places[1:], places[2:], strict=False))


def _answer_is_offered(problem: Problem, text: str) -> bool:
    """Whether the question offers a few words ("even or odd?"), of which the answer is one."""
    answer = (problem.answer or "").lower()
    if not answer or any(map(str.isdigit, answer)) or " or " not in text.lower():
        return False
    asked = _EITHER.search(text)
    return bool(asked and any(w in asked[0].lower() for w in re.findall(r"[a-z]{3,}", answer) if w != "text"))


def _first_word(problem: Problem) -> str:
    """The answer, or what it opens with before a comma or a full stop: "Yes. Two of them coincide." """
    found = _FIRST_WORD.match((problem.answer or "").strip().strip("$"))
    return found[1].lower() if found else ""
