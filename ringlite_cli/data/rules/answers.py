"""Cleansing of answers: what no verifier could compare. (Whether an answer parses is asked of the verifier.)"""

import re

from ringlite_cli.data.rules.registry import Family
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

ANSWERS = Family("answer", [])

MAX_CHARACTERS = 300
_NO_ANSWER = {
    "",
    "none",
    "null",
    "n/a",
    "nan",
    "unknown",
    "?",
    "-",
    "see solution",
    "not provided",
    "略",
    "答案略",
    "无",
    "见解析",
    "见答案",
    "无答案",
    "解析略",
    "暂无",
}
_CHOICE = re.compile(r"\(?[A-K]\)?\.?|\\text(?:bf)?\{\(?[A-K]\)?\}", re.I)
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
    return "missing_answer" if (problem.answer or "").strip().lower() in _NO_ANSWER else None


@ANSWERS.rule
def answer_length(problem: Problem) -> str | None:
    """An answer of more than 300 characters is prose, or several answers."""
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
