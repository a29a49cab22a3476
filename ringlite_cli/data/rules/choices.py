"""Prompts whose answer is picked from a few: guessed one time in two, three or four. English and Chinese."""

import re
from collections.abc import Iterable

from ringlite_cli.data.rules.figures import without_drawings
from ringlite_cli.data.rules.options import is_among_options, is_lettered
from ringlite_cli.data.rules.prompts import PROMPTS
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

CHOICES_BESIDE = "choices_beside"
"""The label of rows whose choices stand in columns that were not mapped into the prompt."""

_HALFWIDTH = str.maketrans("（）．：，？", "().:,?")
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
_MEANS = r"\s*(?:=|:|means?|stands? for|for|is)\s*[\"'“]?"
_CODED = (
    re.compile(
        rf"{_SAY}[^.?!]{{0,30}}?\s{_CODE}\s*(?:,\s*)?(?:for|if|when|to mean|meaning|=)\s[^.?!]{{1,80}}?"
        rf"(?:\b(?:and|or|else|otherwise)\b|[,;])[^.?!]{{0,40}}?(?<![\w^]){_CODE}(?![\w^])",
        re.I,
    ),
    re.compile(  # If so, print 1, otherwise 0
        rf"\bif\b[^.?!]{{1,60}}?,?\s*{_SAY}\s+{_CODE}[^.?!]{{0,40}}?[.,;]?\s*\b(?:otherwise|else|if not)\b"
        rf"[^.?!]{{0,30}}?{_CODE}",
        re.I,
    ),
    re.compile(rf"{_CODE}{_MEANS}(?:yes|true)\b[^.?!]{{0,30}}?{_CODE}{_MEANS}(?:no|false)\b", re.I),
    re.compile(
        rf"(?:输出|填|写|回答|返回|答|记为?|用){_CODE}[^。？?]{{0,20}}?(?:否则|不|反之)[^。？?]{{0,12}}?{_CODE}"
    ),
)
_TRUE_FALSE = re.compile(
    r"\btrue (?:or|/) ?false\b|\bT/F\b|\bT for true\b|\bT or F\b|\bis (?:this|the) statement (?:true|false)\b"
    r"|判断(?:对错|正误|真假|题)|(?:说法|命题|结论|叙述|等式)是否(?:正确|成立|为真)|对还是错|正确还是错误|真(?:命题)?还是假|是(?:真|假)命题吗|打[“\"']?[√✓]",
    re.I,
)
_TRUE_OR_FALSE = frozenset(
    ("true", "false", "对", "错", "正确", "错误", "√", "×", "✓", "✗", "真", "假", "真命题", "假命题")
)
_YES_NO = re.compile(r"\byes (?:or|/) ?no\b|\byes/no\b", re.I)
_YES_OR_NO = frozenset(
    (
        "yes",
        "no",
        "是",
        "否",
        "不是",
        "能",
        "不能",
        "可以",
        "不可以",
        "会",
        "不会",
        "有",
        "没有",
        "存在",
        "不存在",
        "可能",
        "不可能",
        "行",
        "不行",
        "对的",
        "不对",
    )
)
_FIRST_WORD = re.compile(r"(?:\\text(?:bf)?\{)?\s*([A-Za-z]+|[\u4e00-\u9fff√×✓✗]{1,3})\s*\}?\s*(?:[.,;:!。，；]|\Z)")
_CHOICE_WORDS = (  # one of these stands in whatever asks for a choice
    *("following", "option", "choice", "alternative", "answers", "below", "of these", "of the given", "of the listed"),
    *("of the above", "下"),
)
_ASKED = r"\b(?:which|what|how many|select|choose|identify|pick|circle)\b"
_OPTIONS = r"(?:options|choices|alternatives|answers)"
_WHICH = re.compile(
    rf"{_ASKED}[^.?!\n]{{0,60}}?\b(?:of|from|among) the"
    rf" (?:following|(?:given |listed )?{_OPTIONS}|\w+ (?:listed |given )?below)\b"
    r"|\bwhich \w+ below\b(?!\s*[\d$\\]|\s+(?:zero|the|sea|it|ten)\b)"
    rf"|\b(?:of|from|among) the (?:\w+ )?\w+ below\b[^.?!\n]{{0,40}}?,\s*{_ASKED}"
    r"|\A\W*(?:of|among) the following\b[^.?!\n]{0,90}\b(?:is|are)\b(?=[\s_.:…$]*\Z)"
    rf"|\b(?:of|from|among) the following\b[^.?!\n]{{0,40}}?,\s*{_ASKED}"
    rf"|\b[Ww]hich(?: one)? of these (?:options|choices|statements|is|are|has|have|can|could|must)\b"
    r"|(?:下列|以下|下面)[^。？?]{0,60}?(?:的是|的有|是|为|正确)",
    re.I,
)
_WHICH_GIVEN = re.compile(  # may be listed before
    r"\b(?:which|what|select|choose|identify|pick)(?: one| ones)? of (?:these|the (?:given|listed|above)) [a-z]+"
    r"|\bwhich (?:option|choice|alternative)s?\b",
    re.I,
)
_LISTED_WITHIN = re.compile(r"[、:：]|\d\s*[,，]\s*\d")
_LIST_BEFORE = re.compile(r"\n\s*(?:[-*•]|\(?[1-9ivxIVX]+[.)]|[①-⑩])\s|[①②]|:\s*\S.*(?:,|;|\band\b)", re.S)
_ANY_LIST_BEFORE = re.compile(r"[,;:、]|\b(?:and|or)\b|\n\s*\S|\d\s+\d|\\quad|&")
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
    if is_lettered(text) or is_among_options(text, problem.answer):
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
    coded = _is_digit(answer := (problem.answer or "").strip("$ ")) and any(
        answer in found.groups() for pattern in _CODED if (found := pattern.search(problem.prompt))
    )
    return "yes_no" if asked or coded or _first_word(problem) in _YES_OR_NO else None


@PROMPTS.rule
def choices_missing(problem: Problem) -> str | None:
    """Asks which of the following, and nothing follows; or the choices stand in columns beside the prompt's."""
    if problem.labels.get(CHOICES_BESIDE):
        return "choices_missing"
    if writes_code(problem.domain) or not _mentions(problem.prompt, _CHOICE_WORDS):
        return None
    found, before = _WHICH.search(problem.prompt), _LIST_BEFORE
    if found is None:
        found, before = _WHICH_GIVEN.search(problem.prompt), _ANY_LIST_BEFORE
    if found is None or before.search(problem.prompt[: found.start()]):
        return None
    if _LISTED_WITHIN.search(found[0]):
        return None
    return None if _LISTED.search(problem.prompt[found.end() :].strip(" .?:。？：\n()（）")) else "choices_missing"


def _answer_is_offered(problem: Problem, text: str) -> bool:
    """Whether the question offers a few words ("even or odd?"), of which the answer is one."""
    answer = (problem.answer or "").lower()
    if not answer or " or " not in text.lower():
        return False
    asked = _EITHER.search(text)
    if any(map(str.isdigit, answer)):  # Is it 0, 1 or 2?
        value = rf"(?<![\w.^\\]){re.escape(answer)}(?![\w.])"
        return bool(
            asked and re.search(rf"\b(?:is|are|be|to)\b[^.?!]*{value}\s*(?:,|or\b)|\bor {value}\s*\?", asked[0], re.I)
        )
    return bool(asked and any(w in asked[0].lower() for w in re.findall(r"[a-z]{3,}", answer) if w != "text"))


def _is_digit(answer: str) -> bool:
    return len(answer.removeprefix("-")) == 1 and answer[-1].isdigit()


def _first_word(problem: Problem) -> str:
    """The answer, or what it opens with before a comma or a full stop: "Yes. Two of them coincide." """
    found = _FIRST_WORD.match((problem.answer or "").strip().strip("$"))
    return found[1].lower() if found else ""
