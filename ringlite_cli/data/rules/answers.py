"""Cleansing of answers: what no verifier could compare. (Whether an answer parses is asked of the verifier.)"""

import re

from ringlite_cli.data.rules.registry import Family
from ringlite_cli.problems import Problem

ANSWERS = Family("answer", [])

MAX_CHARACTERS = 300
_NO_ANSWER = {"", "none", "null", "n/a", "nan", "unknown", "?", "-", "see solution", "not provided"}
_CHOICE = re.compile(r"\(?[A-E]\)?\.?|\\text(?:bf)?\{\(?[A-E]\)?\}", re.I)
_CHOICES = re.compile(r"\bwhich of|\boptions?\b|\bchoices?\b|\(a\).*\(b\).*\(c\)", re.I | re.S)


@ANSWERS.rule
def missing_answer(problem: Problem) -> str | None:
    """No answer, or a word that stands for none; code has tests instead."""
    if problem.domain == "code":
        return None
    return "missing_answer" if (problem.answer or "").strip().lower() in _NO_ANSWER else None


@ANSWERS.rule
def answer_length(problem: Problem) -> str | None:
    """An answer of more than 300 characters is prose, or several answers."""
    return "answer_too_long" if len(problem.answer or "") > MAX_CHARACTERS else None


@ANSWERS.rule
def letter_answer(problem: Problem) -> str | None:
    """The answer is a letter from A to E and the prompt has or speaks of options."""
    if problem.domain == "code" or not _CHOICE.fullmatch((problem.answer or "").strip()):
        return None
    return "multiple_choice" if _CHOICES.search(problem.prompt) else None
