"""The verifier as a TRL reward function: one call per batch, and no failure of its own passed off as a wrong answer.

It is asynchronous, as TRL allows: domains run side by side, and beside other asynchronous reward functions. Responses
that end while others are still written are verified meanwhile (`ahead`); the call then finds their verdicts.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringlite_cli.errors import RingliteError, WorkFailed
from ringlite_cli.problems import Problem, Verdict, Verify
from ringlite_cli.runs.catalogue.own import means
from ringlite_cli.thoughts import with_thought
from ringlite_cli.train.rl.record import Measured

NO_VERDICT = ("error", "sandbox error")
"""Verdicts that speak of the verifier and not of the response."""


class VerifiedReward:
    """Rewards of a batch of responses; None (no reward, no advantage) where the verifier twice gave no number."""

    __name__ = "verified"  # the name TRL logs it under

    def __init__(self, problems: Sequence[Problem], verify: Verify, thought_opened: str = "") -> None:
        """thought_opened: the tag of the thought that the chat template opens at the end of every prompt, or ""."""
        self.thought_opened = thought_opened
        self._problems: Mapping[str, Problem] = {problem.id: problem for problem in problems}
        self._verify = verify
        self.measured = Measured()
        self._early: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)

    def ahead(self, problem_id: str, response: str) -> None:
        """Starts to verify a response that the next call will have among its own, where the verifier can."""
        start = getattr(self._verify, "start", None)
        if start is None or problem_id not in self._problems:
            return
        response = with_thought(response, self.thought_opened)
        try:
            batch = start([(self._problems[problem_id], response)])
        except Exception:  # the call meets the same fault, and says what it is
            return
        self._early[problem_id, response].append(batch)

    def drop_ahead(self) -> None:
        """Forgets what was started and not asked for: the rollout was given up."""
        for batches in self._early.values():
            for batch in batches:
                batch.cancel()
        self._early.clear()

    async def __call__(
        self,
        completions: Sequence[Any],
        problem_id: Sequence[str],
        log_extra: Callable[[str, list[str]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """completions: as TRL gives them, text or a conversation each. problem_id: that column of the data set.

        Tells TRL's log the column `verdict` and what the call took and measured; `measured` keeps the latter.
        """
        texts = [with_thought(_text(completion), self.thought_opened) for completion in completions]
        pairs = [(self._problems[name], text) for name, text in zip(problem_id, texts, strict=True)]
        early = [self._take(problem.id, response) for problem, response in pairs]
        ready = sum(batch is not None and batch.futures[0].done() for batch in early)
        try:
            verdicts, seconds = await self._verified(pairs, early)
        except BaseException:
            for batch in early:
                if batch is not None:
                    batch.cancel()
            raise
        finally:
            self.drop_ahead()
        failed = [i for i, verdict in enumerate(verdicts) if not _counts(verdict)]
        if failed:
            again, _more = await self._ask([pairs[i] for i in failed])
            for i, verdict in zip(failed, again, strict=True):
                verdicts[i] = verdict
        overlap = ready / len(pairs) if any(batch is not None for batch in early) else None
        self.measured = Measured(dict(sorted(seconds.items())), overlap, means(v.numbers for v in verdicts))
        if log_metric is not None:
            _tell(self.measured, log_metric)
        if log_extra is not None:
            log_extra("verdict", [verdict.verdict for verdict in verdicts])
        return [verdict.reward if _counts(verdict) else None for verdict in verdicts]

    def _take(self, problem_id: str, response: str) -> Any:
        """A verification under way of this very response, for one of those who gave it; or None."""
        batches = self._early.get((problem_id, response))
        return batches.pop() if batches else None

    async def _verified(
        self, pairs: list[tuple[Problem, str]], early: list[Any]
    ) -> tuple[list[Verdict], dict[str, float]]:
        """Verdicts in the order of the pairs, and per domain the seconds from now to its last one."""
        started = time.monotonic()
        late = [i for i, batch in enumerate(early) if batch is None]
        asked, seconds = await self._ask([pairs[i] for i in late]) if late else ([], {})
        verdicts: dict[int, Verdict] = dict(zip(late, asked, strict=True))
        for i, batch in enumerate(early):
            if batch is not None:
                await asyncio.wait([asyncio.wrap_future(batch.futures[0])])
                (verdicts[i],) = batch.verdicts()
                for domain, took in batch.seconds.items():
                    seconds[domain] = max(seconds.get(domain, 0.0), batch.started + took - started)
        return [verdicts[i] for i in range(len(pairs))], seconds

    async def _ask(self, pairs: list[tuple[Problem, str]]) -> tuple[list[Verdict], dict[str, float]]:
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


def _tell(measured: Measured, log_metric: Callable[[str, float], None]) -> None:
    """Log what a call measured, for the trackers that TRL reports to."""
    for domain, seconds in measured.seconds.items():
        log_metric(f"reward_seconds/{domain}", seconds)
    if measured.overlap is not None:
        log_metric("reward_overlap", measured.overlap)
    for key, value in measured.numbers.items():
        log_metric(f"reward_number/{key}", value)


def _counts(verdict: Verdict) -> bool:
    """Whether a verdict speaks of the response, and its reward is a number."""
    return verdict.verdict not in NO_VERDICT and math.isfinite(verdict.reward)


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
