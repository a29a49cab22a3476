"""Rows that no worked solution can confirm: what their own route says of them before a model is ever asked."""

import json
from collections.abc import Sequence
from contextlib import suppress

from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.needs import UNGRADED, is_for_sft_alone
from ringlite_cli.data.rows import Drop, Progress, Row, Sifted
from ringlite_cli.own_code import is_own
from ringlite_cli.problems import Problem, Verdict, Verify, route

_BATCH = 512
_PROBE = "A short reply."
_IDLE = "```python\npass\n```"
"""A program that does nothing, which no tests may accept."""


def check_by_route(rows: Sequence[Row], verify: Verify, progress: Progress | None = None) -> tuple[Sifted, list[Row]]:
    """(what is known of rows that only their route can be asked about, the rows for `verify_rows`).

    Rows for SFT alone, and those of a judge, a reward model or a reward of the user's own, stay unconfirmed.
    Instructions must be known and their arguments fit. Tests without an accepted solution must run, and reject a
    program that does nothing.
    """
    sifted, rest, asked = Sifted(), [], []
    for row in rows:
        problem = row.problem
        if is_benchmark(row):
            rest.append(row)
        elif is_for_sft_alone(problem) or route(problem) in ("judge", "reward-model") or is_own(route(problem)):
            row.verified = UNGRADED
            sifted.kept.append(row)
        elif route(problem) in ("instructions", "logic-gym") or (route(problem) == "code" and problem.trace is None):
            asked.append(row)
        else:
            rest.append(row)
    for start in range(0, len(asked), _BATCH):
        _ask(asked[start : start + _BATCH], verify, sifted)
        if progress:
            progress("asking the routes", min(start + _BATCH, len(asked)), len(asked))
    return sifted, rest


def _ask(rows: Sequence[Row], verify: Verify, sifted: Sifted) -> None:
    problems = [row.problem for row in rows]
    verdicts = verify([(problem, _response(problem)) for problem in problems])
    for row, problem, verdict in zip(rows, problems, verdicts, strict=True):
        reason = _fault(problem, verdict)
        if reason:
            sifted.drops.append(Drop(row, reason, f"{verdict.verdict}: {verdict.detail}".rstrip(": ")[:500]))
        else:
            row.verified = UNGRADED if route(problem) == "code" else "route"
            sifted.kept.append(row)


def _response(problem: Problem) -> str:
    """The response that shows most of a route: a solution where the row holds one, else one that says nothing."""
    if route(problem) == "code":
        return _IDLE
    gold = _gym_answer(problem)
    return _PROBE if gold is None else f"<answer>{gold}</answer>"


def _gym_answer(problem: Problem) -> str | None:
    if route(problem) == "logic-gym":
        with suppress(ValueError, AttributeError):
            gold = json.loads(problem.answer or "").get("answer")
            return None if gold is None else str(gold)
    return None


def _fault(problem: Problem, verdict: Verdict) -> str | None:
    name = route(problem)
    if name == "code":
        if verdict.reward:
            return "tests_accept_anything"
        return "tests_malformed" if verdict.verdict == "error" else None
    if verdict.verdict == "error":
        return "unknown_instructions" if name == "instructions" else "unparseable_answer"
    return "unparseable_answer" if _gym_answer(problem) is not None and not verdict.reward else None
