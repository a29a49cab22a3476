"""What a row needs depends on its route: the verifier that it names, else its domain's.

math, science, logic   an answer
code                   tests; an accepted solution that passes them, unless the recipe does without
instructions, logic-gym   an answer that the route itself can read
token-f1, rouge        an answer: a reference text or several, of which one has a word in it
judge, reward-model    nothing; an answer is the judge's reference or rubric
module:object          what the recipe's own domain says; nothing for a reward that a source names
none of these          a trace, and then the row is for SFT alone

A row with a trace and without what its route needs is for SFT alone too.
"""

from ringlite_cli.data.rules import PROBLEM_FAMILIES, TRACES
from ringlite_cli.data.rules.answers import missing_answer
from ringlite_cli.data.rules.code import missing_tests
from ringlite_cli.data.rules.figures import shows_image
from ringlite_cli.problems import Problem, is_route, needs, route

BOXED = ("math", "science", "logic")
"""Routes that compare an answer which a response puts in a box."""
UNGRADED = "none"
"""What `verified_by` says of a row that no verifier has confirmed."""

UNCOMPARED = (UNGRADED, "route")
"""What `verified_by` says of rows that some rules were not put to."""

_FOR_COMPARISON = frozenset(  # reasons that speak of answers which are compared; no one compares an essay
    {
        "answer_is_prose",
        "answer_too_long",
        "multiple_choice",
        "multi_part",
        "true_false",
        "yes_no",
        "proof",
        "open_question",
    }
)
FOR_COMPARISON_RULES = (
    "missing_answer",
    "missing_tests",
    "answer_length",
    "prose_answer",
    "letter_answer",
    "multiple_choice",
    "multi_part",
    "true_or_false",
    "yes_or_no",
    "proof_or_open",
    "final_answer",
)
"""The rules that give these reasons, or ask for what only some routes need."""
_OF_MATERIAL = frozenset({"image_needed", "leans_on_another", "choices_missing"})
LONG_PROMPT = 800  # characters
_GAPS = frozenset({"missing_answer", "missing_tests"})


def lacks(problem: Problem) -> str | None:
    """The reason for which no verifier can score responses to a problem; None where one can."""
    if not is_route(route(problem)):
        return "unknown_verifier" if problem.verifier else "no_verifier"
    wanted = needs(problem)
    if wanted == "tests":
        return missing_tests(problem)
    return missing_answer(problem) if wanted == "answer" else None


def is_for_sft_alone(problem: Problem) -> bool:
    """Return whether a row has a trace to train on, but neither an answer nor tests to score a response by."""
    return problem.trace is not None and lacks(problem) is not None


def problem_reason(problem: Problem, *, strict: bool = False) -> str | None:
    """The first reason of the rules that hold for the problem's route.

    strict: the row must have all that its route needs; a trace does not make up for it.
    """
    gap = lacks(problem)
    alone = gap is not None and problem.trace is not None and not strict
    compared = not alone and route(problem) in (*BOXED, "code", "logic-gym")
    for family in PROBLEM_FAMILIES:
        for rule in family.rules:
            reason = rule.check(problem)
            if reason is None or (reason in _GAPS and (alone or gap is None)):
                continue
            if compared or not _is_beside_the_point(reason, problem):
                return reason
    return None if alone else gap


def _is_beside_the_point(reason: str, problem: Problem) -> bool:
    """Return whether a reason does not count for a row whose responses are compared with no answer.

    A long prompt of that kind brings its material along, which may speak of figures and sections of its own.
    """
    if reason in _OF_MATERIAL and len(problem.prompt) > LONG_PROMPT:
        return not shows_image(problem.prompt)
    return reason in _FOR_COMPARISON


def trace_reason(problem: Problem) -> str | None:
    """Return why a trace can't be trained on. Where no box is asked for, it needs none, and may end as it likes."""
    if route(problem) in (*BOXED, "code") and not is_for_sft_alone(problem):
        return TRACES.reason(problem)
    for rule in TRACES.rules:
        reason = rule.check(problem)
        if reason is None or reason == "trace_no_final_answer":
            continue
        if reason == "trace_truncated" and not _is_open(problem.trace or ""):
            continue
        if reason == "trace_mixed_languages" and problem.domain == "general":
            continue  # a translation, for one
        return reason
    return None


def _is_open(trace: str) -> bool:
    """Return whether a thought or a code block never closes."""
    return trace.count("<think>") > trace.count("</think>") or trace.count("```") % 2 == 1
