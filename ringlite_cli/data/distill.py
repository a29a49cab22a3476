"""Long chains of thought from a teacher (PAPER §2): sampled, verified, cleaned up, rejected by the rules of traces;
what is left without one goes into the next round.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ringlite_cli.data.asking import Asking, Response
from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.needs import trace_reason
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.problems import Problem, is_right
from ringlite_cli.recipe.schema import Distill
from ringlite_cli.samples import REFUSALS

_SPECIAL = re.compile(r"<\|[^<>|\n]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>|</?s>")
_BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


def distill(rows: Sequence[CuratedRow], section: Distill, asking: Asking) -> dict[str, Any]:
    """Give train rows traces of the teacher's; return {"asked", "kept", "rounds": [...], "rejected": {reason: n}}."""
    wanted = [r for r in rows if _is_wanted(r, section)]
    asked, rejected, rounds = len(wanted), Counter[str](), []
    for number in range(1, section.rounds + 1):
        if not wanted:
            break
        groups = asking.ask(wanted, section.teacher, section.num_generations, f"distill round {number}")
        left = []
        for row, responses in zip(wanted, groups, strict=True):
            trace = _best(row.problem, responses, rejected)
            if trace is None:
                left.append(row)
            else:
                labels = {**row.problem.labels, "trace_by": section.teacher.name, "trace_round": number}
                row.change(trace=trace, labels=labels)
                row.verified = row.verified if row.verified == "solution" else "trace"
        rounds.append({"asked": len(wanted), "kept": len(wanted) - len(left)})
        asking.report(f"distill round {number}: {len(wanted) - len(left):,} of {len(wanted):,} problems have a trace")
        wanted = left
    return {"asked": asked, "kept": asked - len(wanted), "rounds": rounds, "rejected": dict(rejected.most_common())}


def _is_wanted(row: CuratedRow, section: Distill) -> bool:
    if row.split != "train" or is_benchmark(row):
        return False
    problem = row.problem
    asked = section.domains is None or problem.domain in section.domains
    return asked and (section.replace or problem.trace is None)


def _best(problem: Problem, responses: Sequence[Response], rejected: Counter[str]) -> str | None:
    """The shortest response that is right, whole and clean; why the others were rejected goes into the counts."""
    good = []
    for response in responses:
        trace = clean_trace(response.text)
        if response.verdict in REFUSALS:
            rejected[response.verdict.replace(" ", "_")] += 1
            continue
        if response.truncated:
            reason: str | None = "trace_truncated"
        elif not is_right(response.verdict, response.reward):
            reason = f"verdict_{response.verdict}"
        else:
            reason = trace_reason(replace(problem, trace=trace))
        if reason is None:
            good.append(trace)
        else:
            rejected[reason] += 1
    return min(good, key=len, default=None)


def clean_trace(text: str) -> str:
    """Without special tokens and piles of blank lines, and with the mark that opens a thought which only closes."""
    text = _BLANK_LINES.sub("\n\n", _SPECIAL.sub("", text)).strip()
    if "</think>" in text and "<think>" not in text:
        text = f"<think>\n{text}"
    return text
