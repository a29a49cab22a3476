"""Cleansing of prompts (PAPER §2, phase 1): what can't be read, can't be answered from text, or is easily guessed."""

import re
from collections.abc import Iterable

import ftfy.badness

from ringlite_cli.data.rules.figures import figure_needed, without_drawings
from ringlite_cli.data.rules.registry import Family
from ringlite_cli.data.text import tokens
from ringlite_cli.problems import Problem

PROMPTS = Family("prompt", [])

MIN_TOKENS = 3
MAX_CHARACTERS = 12_000

_INVALID = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]")
_ASKS_FIRST = (
    r"\s*(?:find|compute|determine|evaluate|calculate|what|which|how|why|is|are|does|do|can|solve|simplify|show|prove"
    r"|explain|write|give|state|sketch|draw|list|estimate|express|describe|repeat|use|verify|suppose|hence)\b"
)
_PARTS = (  # the second part asks; lists of conditions under (i), (ii) are one question
    re.compile(r"(?:^|\s)\(?a\)\s.+?\s\(?b\)" + _ASKS_FIRST, re.S | re.I),
    re.compile(r"(?:^|\s)\(?i\)\s.+?\s\(?ii\)" + _ASKS_FIRST, re.S | re.I),
    re.compile(r"(?:^|\n)\s*Part (?:1|A|I)\b.+?\n\s*Part (?:2|B|II)\b", re.S),
)
_LETTERED = (  # "(A) ..., and (B) ..." lists conditions
    re.compile(r"\(A\).*?(?<!and )\(B\).*?\(C\)", re.S),
    re.compile(r"(?:^|\n)\s*A[.):]\s.*?\n\s*B[.):]\s", re.S),
)
_NAMED = (  # Enter "odd", "even", or "neither"; "C" for circle, "E" for ellipse
    re.compile(
        r"\b(?:Enter|Write|(?:A|a)nswer(?: with)?) (?:either )?[\"“][^\"”\n]+[\"”][^.?!\"“]{0,40}(?:,| or) [\"“]"
    ),
    re.compile(r"\blist of (?:those|the (?:correct|true|valid)) (?:options|choices)\b", re.I),
)
_NAMED_WORDS = ("enter ", "answer ", "respond with ", "write ", "list of ")
_TRUE_FALSE = re.compile(r"\btrue (?:or|/) ?false\b|\bT/F\b|\bis (?:this|the) statement (?:true|false)\b", re.I)
_YES_NO = re.compile(r"\byes (?:or|/) ?no\b|\byes/no\b", re.I)
_PROOF = re.compile(r"\b(?:prove|show) that\b|\bgive a proof\b", re.I)
_OPEN = re.compile(r"\b(?:explain (?:why|how|your)|discuss|describe in your own words|write an essay)\b", re.I)
_OPEN_WORDS = ("prove", "show", "proof", "explain", "discuss", "describe", "essay")
_ASKS = re.compile(r"\?|\b(?:find|compute|determine|evaluate|calculate|what|how many|solve|simplify)\b", re.I)


def _found(patterns: Iterable[re.Pattern[str]], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _mentions(text: str, words: Iterable[str]) -> bool:
    """Whether any of the words stands in the text, in any case; much cheaper than the patterns that need them."""
    return any(map(text.lower().__contains__, words))


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
def image_needed(problem: Problem) -> str | None:
    """Shows an image, or speaks of a figure that the text does not hold (or holds only as Asymptote code)."""
    pictures = problem.labels.get("pictures")
    if pictures and str(pictures) not in ("0", "0.0"):
        return "image_needed"
    return "image_needed" if figure_needed(problem.prompt) else None


@PROMPTS.rule
def multiple_choice(problem: Problem) -> str | None:
    """Lettered choices, or answers to choose from ("odd", "even" or "neither"): guessed one time in four or so."""
    if str(problem.labels.get("question_type", "")).lower() == "mcq":
        return "multiple_choice"
    if problem.domain == "code":
        return None
    text = without_drawings(problem.prompt)
    lettered = _mentions(text, ("(a)", "\na", "a.", "a)", "a:")) and _found(_LETTERED, text)
    named = _mentions(text, _NAMED_WORDS) and _found(_NAMED, text)
    return "multiple_choice" if lettered or named else None


@PROMPTS.rule
def multi_part(problem: Problem) -> str | None:
    """Several questions under (a), (b) or the like: no single answer."""
    if not _mentions(problem.prompt, ("b)", "i)", "part")):
        return None
    return "multi_part" if _found(_PARTS, problem.prompt) else None


@PROMPTS.rule
def true_or_false(problem: Problem) -> str | None:
    """Asks true or false, or is answered so: guessed every other time."""
    if problem.domain == "code":
        return None
    answered = (problem.answer or "").strip().lower().rstrip(".") in ("true", "false")
    asked = _mentions(problem.prompt, ("true", "t/f")) and _TRUE_FALSE.search(problem.prompt)
    return "true_false" if answered or asked else None


@PROMPTS.rule
def yes_or_no(problem: Problem) -> str | None:
    """Asks yes or no, or is answered so: guessed every other time."""
    if problem.domain == "code":
        return None
    answer = re.sub(r"\\text(?:bf)?\{([^}]*)\}", r"\1", problem.answer or "").strip().lower().rstrip(".")
    asked = _mentions(problem.prompt, ("yes",)) and _YES_NO.search(problem.prompt)
    return "yes_no" if answer in ("yes", "no") or asked else None


@PROMPTS.rule
def proof_or_open(problem: Problem) -> str | None:
    """Asks for a proof, an explanation or an essay and for nothing that a verifier can compare."""
    if str(problem.labels.get("question_type", "")).lower() == "proof":
        return "proof"
    if problem.domain == "code" or not _mentions(problem.prompt, _OPEN_WORDS) or _ASKS.search(problem.prompt):
        return None
    if _PROOF.search(problem.prompt):
        return "proof"
    return "open_question" if _OPEN.search(problem.prompt) else None
