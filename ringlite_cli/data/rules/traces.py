"""Cleansing of worked traces (PAPER §2, long-CoT data): repetition, mixed languages, truncation, no final answer."""

import re

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.rules.registry import Family
from ringlite_cli.data.solutions import breaks_off, states_result
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem
from ringlite_cli.thoughts import answer_part

TRACES = Family("trace", [])

_GRAM = 6
_MAX_REPEATED = 0.5  # share of 6-grams that stood before
_MAX_LINE = 8  # times one line of some length may stand
_BLOCK = re.compile(r"```[^\n`]*\n.+?```", re.S)
_WORD = re.compile(r"\S+")
_FOREIGN = re.compile("[\u0400-\u04ff\u0590-\u06ff\u0900-\u097f\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")


@TRACES.rule
def repetitive(problem: Problem) -> str | None:
    """A line of 12 characters or more that stands over 8 times, or half of all 6-grams of words repeated."""
    trace = problem.trace or ""
    lines: dict[str, int] = {}
    for line in trace.splitlines():
        if len(line) >= 12:
            lines[line] = lines.get(line, 0) + 1
    if lines and max(lines.values()) > _MAX_LINE:
        return "trace_repetitive"
    words = _WORD.findall(trace)
    total = len(words) - _GRAM + 1
    if total < 40:
        return None
    distinct = len({tuple(words[i : i + _GRAM]) for i in range(total)})
    return "trace_repetitive" if distinct < total * (1 - _MAX_REPEATED) else None


@TRACES.rule
def mixed_languages(problem: Problem) -> str | None:
    """The trace has more than two characters of a script that the prompt does not use."""
    trace = problem.trace or ""
    if trace.isascii() or _FOREIGN.search(problem.prompt):
        return None
    return "trace_mixed_languages" if len(_FOREIGN.findall(trace)) > 2 else None


@TRACES.rule
def final_answer(problem: Problem) -> str | None:
    """The trace breaks off, or ends without a boxed answer (for code: without a closed code block).

    A worked solution that states its result in another form is put to the verifier before it goes.
    """
    trace = (problem.trace or "").rstrip()
    if problem.trace is None or _has_final(problem.domain, trace):
        return None
    opened = trace.count("<think>") > trace.count("</think>") or trace.count("```") % 2 == 1
    broken = breaks_off(trace) and (writes_code(problem.domain) or not states_result(trace))
    return "trace_truncated" if opened or broken else "trace_no_final_answer"


def _has_final(domain: str, trace: str) -> bool:
    after = answer_part(trace)
    return bool(_BLOCK.search(after)) if writes_code(domain) else last_boxed(after) is not None
