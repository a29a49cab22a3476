"""The text rules, a file a family; `RULES` lists them all with what each looks for."""

from ringlite_cli.data.rules.answers import ANSWERS
from ringlite_cli.data.rules.code import CODE
from ringlite_cli.data.rules.language import LANGUAGE, LANGUAGES
from ringlite_cli.data.rules.prompts import PROMPTS
from ringlite_cli.data.rules.registry import Family, Rule
from ringlite_cli.data.rules.traces import TRACES

PROBLEM_FAMILIES = (PROMPTS, ANSWERS, CODE)
"""A problem that one of these gives a reason for is out, as is one in a language that was not asked for; `TRACES`
speaks of the trace alone."""

RULES: tuple[Rule, ...] = tuple(rule for family in (LANGUAGE, *PROBLEM_FAMILIES, TRACES) for rule in family.rules)

__all__ = [
    "ANSWERS",
    "CODE",
    "LANGUAGE",
    "LANGUAGES",
    "PROBLEM_FAMILIES",
    "PROMPTS",
    "RULES",
    "TRACES",
    "Family",
    "Rule",
]
