"""Cleansing of answers: what no verifier could compare. (Whether an answer parses is asked of the verifier.)"""

import re

from ringlite_cli.data.rules.registry import Family
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem, route

ANSWERS = Family("answer", [])

MAX_CHARACTERS = 300
_NO_ANSWER = re.compile(
    r"|none|null|n/?\.?a\.?|nan|unknown|[?？\-—.…]+|omitted|tb[da]|todo|to be determined"
    r"|(?:see|refer to) (?:the )?(?:full |detailed |attached )?"
    r"(?:solution|explanation|answer|proof|figure|graph|diagram|table|image|above|below|text)s?(?: (?:above|below))?"
    r"|(?:the )?(?:answer )?(?:is )?not (?:available|applicable|provided|given|known|specified)"
    r"|no (?:answer|data|information)(?: (?:is )?(?:given|available|provided|yet))?"
    r"|(?:答案)?[（(]?(?:略|[详参请]?见.{0,6}|如[上下]?图.{0,4})[）)]?|无(?:答案)?|解析略|暂无(?:答案)?|待定|未知|未提供",
    re.I,
)
_ANSWER_FRAME = re.compile(r"\\(?:text(?:bf)?|mathrm|mbox)\{([^{}]*)\}|\$|[.。!]+\Z")
_CHOICE = re.compile(r"\(?[A-K]\)?\.?|\\text(?:bf)?\{\(?[A-K]\)?\}", re.I)
_LETTERS = re.compile(r"\(?[A-K]\)?(?:(?:\s*,\s*|\s+and\s+|\s*;\s*)\(?[A-K]\)?)+")
_LETTER = re.compile(r"[A-H]")
_OF_A_LETTER = re.compile(  # what is answered by a letter
    r"\b(?:letters?|digits?|hexadecimal|base|grade|element|symbol|unit|vitamin|note|key|chord|blood|group|variable|vertex"
    r"|points?|type|class|category|initials?|column|programming language|character)\b",
    re.I,
)
_ALONE = re.compile(r"(?<![A-Za-z\d-])(?!A\s+[a-z(])[A-HJ-Z](?![A-Za-z'’\d-])")  # a letter, and no article
_ASKS_WHICH = re.compile(  # or leaves a gap
    r"\b(?:which|what|how|who|where|pick|select)\b|_{2,}|[(（]\s*[)）]|\\(?:qquad|underline)\b|什么|哪|谁|几|多少|[是为]\s*[。.?？]?\s*\Z",
    re.I,
)
_CHOICES = re.compile(
    r"\bwhich of|\boptions?\b|\bchoices?\b|\(a\).*\(b\).*\(c\)|\(f\).*\(g\).*\(h\)|[(（]\s*[)）]|选项|选择|下列|以下",
    re.I | re.S,
)
_READ = ("math", "science")
_FORMULA = re.compile(r"\$[^$]*\$|\\\([^)]*\\\)|\\(?:text|mathrm|mbox)\{([^{}]*)\}|\\[a-zA-Z]+")
_WORD = re.compile(r"[A-Za-z][a-z']+")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|may|might|can|cannot|must|will|would|should|does|do|did|be|becomes?|consider"
    r"|because|since|reaches|exists?|there)\b",
    re.I,
)
MAX_WORDS, MAX_SIGNS = 8, 20  # of an answer that is no sentence


@ANSWERS.rule
def missing_answer(problem: Problem) -> str | None:
    """No answer, or a word that stands for none; code has tests instead."""
    if writes_code(problem.domain):
        return None
    answer = _ANSWER_FRAME.sub(lambda match: match[1] or "", (problem.answer or "").strip()).strip()
    return "missing_answer" if _NO_ANSWER.fullmatch(answer) else None


@ANSWERS.rule
def answer_length(problem: Problem) -> str | None:
    """An answer of more than 300 characters is prose, or several answers; that of a logic game is a whole row."""
    if route(problem) == "logic-gym":
        return None
    return "answer_too_long" if len(problem.answer or "") > MAX_CHARACTERS else None


@ANSWERS.rule
def prose_answer(problem: Problem) -> str | None:
    """A sentence as the answer to mathematics or science: no response gives just these words."""
    answer = problem.answer or ""
    if (problem.verifier or problem.domain) not in _READ or len(answer) < 12:
        return None
    words = _WORD.findall(_FORMULA.sub(lambda match: f" {match[1] or ''} ", answer))
    said = (
        len(words) > MAX_WORDS
        or (len(words) >= 4 and _VERB.search(answer))
        or len(_CHINESE.findall(answer)) > MAX_SIGNS
    )
    listed = answer.count(",") * 2 > len(words) or answer.startswith("[")
    return "answer_is_prose" if said and not listed else None


@ANSWERS.rule
def letter_answer(problem: Problem) -> str | None:
    """The answer is a letter from A to K and the prompt has or speaks of options."""
    if writes_code(problem.domain) or not _CHOICE.fullmatch((problem.answer or "").strip()):
        return None
    return "multiple_choice" if _CHOICES.search(problem.prompt) else None


@ANSWERS.rule
def letters_of_nothing(problem: Problem) -> str | None:
    """The answer is one or more letters from A to K, and the prompt, which asks for no letter, has none."""
    if (problem.verifier or problem.domain) not in _READ:
        return None
    answer = (problem.answer or "").strip("$. ")
    several = _LETTERS.fullmatch(answer)
    if not several and not (_LETTER.fullmatch(answer) and _ASKS_WHICH.search(problem.prompt)):
        return None
    if _ALONE.search(problem.prompt) or (not several and _OF_A_LETTER.search(problem.prompt)):
        return None
    return "choices_missing"
