"""Prompts that leave no room for a response: they count as failures, and lose no other problem its score."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import VERDICT_REVISION, Problem, Verdict
from ringlite_cli.samples import Request, Sampler

TOO_LONG = "prompt too long"
"""The verdict of a problem whose prompt fills the policy's context."""
_SHOWN = 3


def without_room(requests: Sequence[Request], sampler: Sampler, *, answered: bool) -> dict[str, int]:
    """Return the tokens of each prompt that the sampler can't answer, by the request's problem id.

    answered: the policy has answered other problems before. Raises UserError where it can answer none at all.
    An endpoint does not tell how many positions it takes: its prompts all pass.
    """
    positions = getattr(sampler, "max_positions", None)
    if positions is None:
        return {}
    lengths = {request.problem_id: len(sampler.prompt_ids(request)) for request in requests}
    long = {name: tokens for name, tokens in lengths.items() if tokens >= positions}
    if requests and not answered and len(long) == len(requests):
        name, tokens = max(long.items(), key=lambda item: item[1])
        raise UserError(
            f"no prompt leaves room for a response: {name} has {tokens:,} tokens, and the policy takes {positions:,}",
            hint="use shorter problems, raise engine.max_model_length, or take a model with a longer context",
        )
    return long


def failed_rows(request: Request, problem: Problem, head: Mapping[str, Any], tokens: int) -> list[dict[str, Any]]:
    """Return the rows of a problem that could not be asked. head: the policy and the task."""
    verdict = Verdict(TOO_LONG, 0.0)
    return [
        {
            **head,
            "id": problem.id,
            "domain": problem.domain,
            "sample": index,
            "prompt": problem.prompt,
            "prompt_tokens": tokens,
            "response": "",
            "verdict": verdict.verdict,
            "reward": verdict.reward,
            "tokens": 0,
            "truncated": False,
            "entropy": 0.0,
            "thought_opened": "",
            "revision": VERDICT_REVISION,
        }
        for index in range(request.k)
    ]


def note_on(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what a score must say about prompts that were too long; "" where there are none."""
    names = list(dict.fromkeys(str(row["id"]) for row in rows if row["verdict"] == TOO_LONG))
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"prompts without room for a response count as failures: {len(names):,} ({', '.join(names[:_SHOWN])}{more})"
