"""Cleansing of prompts (PAPER §2, phase 1): what can't be read, or can't be answered from its text.

What is easily guessed stands in choices.py, what has no answer of its own in questions.py.
"""

import re

import ftfy.badness

from ringlite_cli.data.rules.figures import figure_needed, only_figures
from ringlite_cli.data.rules.registry import Family
from ringlite_cli.data.text import tokens
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

PROMPTS = Family("prompt", [])

MIN_TOKENS = 3
MAX_CHARACTERS = 12_000

_INVALID = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]")
MAX_BARE = 120  # characters of a prompt that may be a bare formula
_COMMANDS = re.compile(r"\\[a-zA-Z]+|\b(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|abs)\b")
_WORDS = re.compile(r"[^\W\d_]{3,}|[\u3040-\u30ff\u3400-\u9fff]")
_TASKS = re.compile(r"\\(?:int|iint|oint|sum|prod|lim|frac\s*\{d\}|begin)|[∫∑∏?？]|\bd/d")
_DEFINED = re.compile(r"[a-zA-Z]\s*\([a-zA-Z]\)\s*=[^=]*\Z")
_VARIABLE = re.compile(r"[a-zA-Z]")


@PROMPTS.rule
def invalid_characters(problem: Problem) -> str | None:
    """Control characters, replacement characters, private-use characters, or text decoded wrongly (mojibake)."""
    prompt = problem.prompt
    if _INVALID.search(prompt):
        return "invalid_characters"
    return "mojibake" if not prompt.isascii() and ftfy.badness.is_bad(prompt) else None


@PROMPTS.rule
def declared_invalid(problem: Problem) -> str | None:
    """The source itself marks the problem or its solution as incomplete or not valid."""
    said = [str(problem.labels.get(name, "Yes")).lower() for name in ("problem_valid", "solution_valid")]
    return None if said == ["yes", "yes"] else "declared_invalid"


@PROMPTS.rule
def length(problem: Problem) -> str | None:
    """Fewer than 3 words, numbers and operators, or more than 12,000 characters."""
    if len(problem.prompt) > MAX_CHARACTERS:
        return "prompt_too_long"
    if len(problem.prompt) < 200 and len(tokens(problem.prompt)) < MIN_TOKENS:
        return "prompt_too_short"
    return None


@PROMPTS.rule
def nothing_asked(problem: Problem) -> str | None:
    """A formula with variables and without a word, "=" or an integral: the source's heading said what to do."""
    text = problem.prompt.strip()
    if len(text) > MAX_BARE or writes_code(problem.domain) or _WORDS.search(_COMMANDS.sub(" ", text)):
        return None
    bare = text.strip("$ \\[](){}.")
    asked = bare.endswith(("=", "?", "_", "…", "...")) or _TASKS.search(text)
    equation = "=" in text and not _DEFINED.match(bare)
    return None if asked or equation or not _VARIABLE.search(_COMMANDS.sub(" ", text)) else "nothing_asked"


@PROMPTS.rule
def image_needed(problem: Problem) -> str | None:
    """Shows an image, or speaks of a figure that the text does not hold (or holds only as Asymptote code).

    A programming task holds its input and output in words; its pictures illustrate, unless they stand alone.
    """
    if writes_code(problem.domain):
        return "image_needed" if only_figures(problem.prompt) else None
    pictures = problem.labels.get("pictures")
    if pictures and str(pictures) not in ("0", "0.0"):
        return "image_needed"
    return "image_needed" if figure_needed(problem.prompt) else None
