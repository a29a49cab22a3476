"""The verifier as a TRL reward function: one call per batch, and no failure of its own passed off as a wrong answer.

It is asynchronous, as TRL allows: domains run side by side, and beside other asynchronous reward functions.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringlite_cli.errors import RingliteError, WorkFailed
from ringlite_cli.problems import Problem, Verdict, Verify

NO_VERDICT = ("error", "sandbox error")
"""Verdicts that speak of the verifier and not of the response."""
_SECONDS = "reward_seconds/"


class VerifiedReward:
    """Rewards of a batch of responses; None (no reward, no advantage) where the verifier twice gave no number."""

    __name__ = "verified"  # the name TRL logs it under

    def __init__(self, problems: Sequence[Problem], verify: Verify) -> None:
        self._problems: Mapping[str, Problem] = {problem.id: problem for problem in problems}
        self._verify = verify

    async def __call__(
        self,
        completions: Sequence[Any],
        problem_id: Sequence[str],
        log_extra: Callable[[str, list[str]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """completions: as TRL gives them, text or a conversation each. problem_id: that column of the data set.

        Logs the column `verdict`, and `reward_seconds/<domain>` where the verifier tells them.
        """
        pairs = [(self._problems[name], _text(c)) for name, c in zip(problem_id, completions, strict=True)]
        verdicts, seconds = await self._verified(pairs)
        failed = [i for i, verdict in enumerate(verdicts) if not _counts(verdict)]
        if failed:
            again, _more = await self._verified([pairs[i] for i in failed])
            for i, verdict in zip(failed, again, strict=True):
                verdicts[i] = verdict
        if log_metric is not None:
            for domain in sorted(seconds):
                log_metric(f"{_SECONDS}{domain}", seconds[domain])
        if log_extra is not None:
            log_extra("verdict", [verdict.verdict for verdict in verdicts])
        return [verdict.reward if _counts(verdict) else None for verdict in verdicts]

    async def _verified(self, pairs: list[tuple[Problem, str]]) -> tuple[list[Verdict], dict[str, float]]:
        seconds: dict[str, float] = {}
        verify_async = getattr(self._verify, "verify_async", None)
        try:
            if verify_async is not None:
                verdicts, seconds = await verify_async(pairs)
            else:
                verdicts = list(await asyncio.to_thread(self._verify, pairs))
        except RingliteError:
            raise
        except Exception as error:
            raise WorkFailed(
                f"the verifier raised {type(error).__name__}: {error}",
                hint="no reward is made up for it; mend the verifier, and the same command goes on",
            ) from error
        if len(verdicts) != len(pairs):
            raise WorkFailed(f"the verifier returned {len(verdicts)} verdicts for {len(pairs)} responses")
        return verdicts, seconds


def seconds_by_domain(logged: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The seconds per domain among the metrics that reward functions have logged."""
    return {name.removeprefix(_SECONDS): sum(logged[name]) for name in logged if name.startswith(_SECONDS)}


def _counts(verdict: Verdict) -> bool:
    """Whether a verdict speaks of the response, and its reward is a number."""
    return verdict.verdict not in NO_VERDICT and math.isfinite(verdict.reward)


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
