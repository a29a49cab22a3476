"""The text rules, by family (those of prompts fill three files); `RULES` lists them all with what each looks for."""

from collections.abc import Sequence

from ringlite_cli.data.rules.answers import ANSWERS
from ringlite_cli.data.rules.choices import multiple_choice
from ringlite_cli.data.rules.code import CODE
from ringlite_cli.data.rules.language import LANGUAGE, LANGUAGES, WORDED
from ringlite_cli.data.rules.prompts import PROMPTS
from ringlite_cli.data.rules.questions import multi_part
from ringlite_cli.data.rules.registry import Family, Rule
from ringlite_cli.data.rules.traces import TRACES

PROBLEM_FAMILIES = (PROMPTS, ANSWERS, CODE)
"""A problem that one of these gives a reason for is out, as is one in a language that was not asked for; `TRACES`
speaks of the trace alone."""

RULES: tuple[Rule, ...] = tuple(rule for family in (LANGUAGE, *PROBLEM_FAMILIES, TRACES) for rule in family.rules)

_BY_WORDS = (
    "image_needed multiple_choice true_or_false yes_or_no choices_missing multi_part leans_on_another proof_or_open"
)


def unworded(languages: Sequence[str]) -> list[str]:
    """Return a warning for each language that is asked for and whose words no rule knows."""
    names = ", ".join(_BY_WORDS.split())
    return [
        f"languages: {language}: {names} and prose_answer look for English and Chinese words, and find little there"
        for language in languages
        if language not in WORDED
    ]


__all__ = [
    "ANSWERS",
    "CODE",
    "LANGUAGE",
    "LANGUAGES",
    "PROBLEM_FAMILIES",
    "PROMPTS",
    "RULES",
    "TRACES",
    "WORDED",
    "Family",
    "Rule",
    "multi_part",
    "multiple_choice",
    "unworded",
]
