"""Rows that no worked solution can confirm: what their own route says of them before a model is ever asked."""

from collections.abc import Sequence

from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.needs import UNGRADED, is_for_sft_alone
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted, ticking
from ringlite_cli.data.verification import boxed, game_gold
from ringlite_cli.own_code import is_own
from ringlite_cli.problems import REFERENCED, Problem, Verdict, Verify, is_right, route

_BATCH = 512
_ASKED = ("instructions", "logic-gym", *REFERENCED)
"""Routes that say of an answer whether they can read it."""
_FAULTS = {"instructions": "unknown_instructions"} | dict.fromkeys(REFERENCED, "empty_reference")
"""Route -> the reason for which a row goes out whose answer it can't read."""
NOT_FOLLOWED = "trace_not_followed"
_PROBE = "A short reply."
_IDLE = "```python\npass\n```"
"""A program that does nothing, which no tests may accept."""


def check_by_route(
    rows: Sequence[CuratedRow], verify: Verify, progress: Progress | None = None
) -> tuple[Sifted, list[CuratedRow]]:
    """(what is known of rows that only their route can be asked about, the rows for `verify_rows`).

    Rows for SFT alone, and those of a judge, a reward model or a reward of the user's own, stay unconfirmed.
    Instructions must be known and their arguments fit, and one of several references must have a word in it. A trace
    that does not follow its own instructions is taken off, or takes its row along where a generator made it. A logic
    game's scorer must take its worked solution, else its answer. Tests without an accepted solution must run, and
    reject a program that does nothing.
    """
    sifted, rest, asked = Sifted(), [], []
    for row in ticking(rows, "sorting rows by their routes", progress, len(rows)):
        problem = row.problem
        if is_benchmark(row):
            rest.append(row)
        elif is_for_sft_alone(problem) or route(problem) in ("judge", "reward-model") or is_own(route(problem)):
            row.verified = UNGRADED
            sifted.kept.append(row)
        elif route(problem) in _ASKED or (route(problem) == "code" and problem.trace is None):
            asked.append(row)
        else:
            rest.append(row)
    for start in range(0, len(asked), _BATCH):
        _ask(asked[start : start + _BATCH], verify, sifted)
        if progress:
            progress("asking the routes", min(start + _BATCH, len(asked)), len(asked))
    return sifted, rest


def _ask(rows: Sequence[CuratedRow], verify: Verify, sifted: Sifted) -> None:
    problems = [row.problem for row in rows]
    verdicts = verify([(problem, _response(problem)) for problem in problems])
    asked = zip(rows, problems, verdicts, strict=True)
    missed = [p for _, p, verdict in asked if _is_worked_game(p) and not verdict.reward]
    accepted = {p.id for p, v in zip(missed, verify([(p, boxed(p)) for p in missed]), strict=True) if v.reward}
    for row, problem, verdict in zip(rows, problems, verdicts, strict=True):
        reason = "answer_disagrees" if problem.id in accepted else _fault(problem, verdict)
        if row.procedural and not reason and _is_traced(problem) and not is_right(verdict.verdict, verdict.reward):
            reason = NOT_FOLLOWED
        if reason:
            sifted.drops.append(Drop(row, reason, f"{verdict.verdict}: {verdict.detail}".rstrip(": ")[:500]))
        else:
            row.verified = _confirmed_by(problem)
            if _is_traced(problem):
                _note_trace(row, verdict, sifted)
            sifted.kept.append(row)


def _confirmed_by(problem: Problem) -> str:
    if route(problem) == "code":
        return UNGRADED
    return "trace" if _is_worked_game(problem) else "route"


def _is_worked_game(problem: Problem) -> bool:
    return route(problem) == "logic-gym" and problem.trace is not None


def _is_traced(problem: Problem) -> bool:
    """Return whether a row has a trace that its route says right or wrong of; likeness alone says neither."""
    return route(problem) == "instructions" and problem.trace is not None


def _note_trace(row: CuratedRow, verdict: Verdict, sifted: Sifted) -> None:
    """Note that the route confirms the row's trace, or take off the trace."""
    if is_right(verdict.verdict, verdict.reward):
        row.verified = "trace"
        return
    row.change(trace=None)
    sifted.traces_stripped.append((row, NOT_FOLLOWED))


def _response(problem: Problem) -> str:
    """The response that shows most of a route: a solution where the row holds one, else one that says nothing."""
    if route(problem) == "code":
        return _IDLE
    if _is_traced(problem) or _is_worked_game(problem):
        return problem.trace or ""
    return boxed(problem) if _has_game_gold(problem) else _PROBE


def _has_game_gold(problem: Problem) -> bool:
    return route(problem) == "logic-gym" and game_gold(problem) is not None


def _fault(problem: Problem, verdict: Verdict) -> str | None:
    name = route(problem)
    if name == "code":
        if verdict.reward:
            return "tests_accept_anything"
        return "tests_malformed" if verdict.verdict == "error" else None
    if verdict.verdict == "error":
        return _FAULTS.get(name, "unparseable_answer")
    scored = _is_worked_game(problem) or _has_game_gold(problem)
    return "unparseable_answer" if scored and not verdict.reward else None
