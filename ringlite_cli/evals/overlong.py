"""Prompts that leave no room for a response: they count as failures, and lose no other problem its score."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.problems import VERDICT_REVISION, Problem, Verdict
from ringlite_cli.samples import TOO_LONG, Request

_SHOWN = 3


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
            "entropy": None,
            "thought_opened": "",
            "revision": VERDICT_REVISION,
        }
        for index in range(request.num_generations)
    ]


def note_on(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what a score must say about prompts that were too long; "" where there are none."""
    names = list(dict.fromkeys(str(row["id"]) for row in rows if row["verdict"] == TOO_LONG))
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"prompts without room for a response count as failures: {len(names):,} ({', '.join(names[:_SHOWN])}{more})"
