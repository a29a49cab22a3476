"""The verifier as a TRL reward function: one call per batch, and no failure of its own passed off as a wrong answer.

It is asynchronous, as TRL allows: domains run side by side, and beside other asynchronous reward functions. Responses
that end while others are still written are verified meanwhile (`ahead`); the call then finds their verdicts.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from ringlite_cli.errors import RingliteError, WorkFailed
from ringlite_cli.problems import Problem, Verdict, Verify
from ringlite_cli.recipe.composition import Composition
from ringlite_cli.runs.catalogue.own import means
from ringlite_cli.thoughts import tags_of, with_thought
from ringlite_cli.train.rl.composed import Composed, Composer, Part, counts
from ringlite_cli.train.rl.record import Measured


@dataclass(frozen=True, slots=True)
class Asked:
    """A response and the verifiers that are asked of it."""

    problem: Problem
    parts: Sequence[Part]
    response: str

    @property
    def pairs(self) -> list[tuple[Problem, str]]:
        """Return what the verifiers are given."""
        return [(part.problem, self.response) for part in self.parts]


class VerifiedReward:
    """Rewards of a batch of responses; None (no reward, no advantage) where a verifier twice gave no number."""

    __name__ = "verified"  # the name TRL logs it under

    def __init__(
        self,
        problems: Sequence[Problem],
        verify: Verify,
        thought_opened: str = "",
        composition: Composition | None = None,
    ) -> None:
        """thought_opened: the tag of the thought that the chat template opens at the end of every prompt, or "".
        composition: how several verifiers and penalties make one reward; None: a problem's own verifier alone.
        """
        self.thought_opened = thought_opened
        self._problems: Mapping[str, Problem] = {problem.id: problem for problem in problems}
        self._composer = Composer(composition, tags_of(verify))
        self._verify = verify
        self.measured = Measured()
        self.keeps_early = False  # whether what was started for a later call is kept when one is over
        self._early: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)

    def ahead(self, problem_id: str, response: str) -> None:
        """Start to verify a response that the next call will have among its own, if the verifier can."""
        start = getattr(self._verify, "start", None)
        if start is None or problem_id not in self._problems:
            return
        response = with_thought(response, self.thought_opened)
        try:
            batch = start([(part.problem, response) for part in self._composer.parts(self._problems[problem_id])])
        except Exception:  # the call meets the same fault, and says what it is
            return
        self._early[problem_id, response].append(batch)

    def drop_ahead(self) -> None:
        """Forget what was started and not asked for: the rollout was given up."""
        for batches in self._early.values():
            for batch in batches:
                batch.cancel()
        self._early.clear()

    async def __call__(
        self,
        completions: Sequence[Any],
        problem_id: Sequence[str],
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """completions: as TRL gives them, text or a conversation each. problem_id: that column of the data set.

        Tells TRL's log the column `verdict` and what the call took and measured; `measured` keeps the latter.
        """
        texts = [with_thought(_text(completion), self.thought_opened) for completion in completions]
        asked = [
            Asked(self._problems[name], self._composer.parts(self._problems[name]), text)
            for name, text in zip(problem_id, texts, strict=True)
        ]
        early = [self._take(each.problem.id, each.response) for each in asked]
        ready = sum(batch is not None and all(f.done() for f in batch.futures) for batch in early)
        try:
            verdicts, seconds = await self._verified(asked, early)
        except BaseException:
            for batch in early:
                if batch is not None:
                    batch.cancel()
            raise
        finally:
            if not self.keeps_early:
                self.drop_ahead()
        await self._ask_again(asked, verdicts)
        composed = [
            self._composer.compose(each.problem, each.parts, found, each.response)
            for each, found in zip(asked, verdicts, strict=True)
        ]
        overlap = ready / len(asked) if any(batch is not None for batch in early) else None
        told = [verdict.numbers for found in verdicts for verdict in found]
        counted = Counter(key for each in told for key in each)
        self.measured = Measured(dict(sorted(seconds.items())), overlap, means(told), len(asked), counted)
        if log_metric is not None:
            _tell(self.measured, composed, log_metric)
        if log_extra is not None:
            log_extra("verdict", [each.verdict.verdict for each in composed])
            log_extra("detail", [each.verdict.detail for each in composed])
            if self._composer.composes:  # all ranks alike: the columns are gathered
                log_extra("reward_parts", [dict(each.parts) for each in composed])
        return [each.reward for each in composed]

    async def _ask_again(self, asked: Sequence[Asked], verdicts: Sequence[list[Verdict]]) -> None:
        """Ask once more for what verifiers failed at; put it in the place of the failures."""
        failed = [(i, k) for i, found in enumerate(verdicts) for k, v in enumerate(found) if not counts(v)]
        if not failed:
            return
        again, _more = await self._ask([(asked[i].parts[k].problem, asked[i].response) for i, k in failed])
        for (i, k), verdict in zip(failed, again, strict=True):
            verdicts[i][k] = verdict

    def _take(self, problem_id: str, response: str) -> Any:
        """Return a verification under way of this very response, for one of those who gave it; or None."""
        batches = self._early.get((problem_id, response))
        return batches.pop() if batches else None

    async def _verified(self, asked: Sequence[Asked], early: list[Any]) -> tuple[list[list[Verdict]], dict[str, float]]:
        """Verdicts of each response's parts, in order, and per domain the seconds from now to its last one."""
        started = time.monotonic()
        late = [pair for each, batch in zip(asked, early, strict=True) if batch is None for pair in each.pairs]
        told, seconds = await self._ask(late) if late else ([], {})
        left = iter(told)
        verdicts = []
        for each, batch in zip(asked, early, strict=True):
            if batch is None:
                verdicts.append([next(left) for _ in each.parts])
                continue
            await asyncio.wait([asyncio.wrap_future(future) for future in batch.futures])
            verdicts.append(list(batch.verdicts()))
            for domain, took in batch.seconds.items():
                seconds[domain] = max(seconds.get(domain, 0.0), batch.started + took - started)
        return verdicts, seconds

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


def _tell(measured: Measured, composed: Sequence[Composed], log_metric: Callable[[str, float], None]) -> None:
    """Log what a call measured, for the trackers that TRL reports to; parts of rewards as TRL names its functions."""
    for domain, seconds in measured.seconds.items():
        log_metric(f"reward_seconds/{domain}", seconds)
    if measured.overlap is not None:
        log_metric("reward_overlap", measured.overlap)
    for key, value in measured.numbers.items():
        log_metric(f"reward_number/{key}", value)
    parts: dict[str, list[float]] = {}
    for each in composed:
        for name, part in each.parts.items():
            if part is not None:
                parts.setdefault(name, []).append(part)
    for name, found in sorted(parts.items()):
        log_metric(f"rewards/{name}/mean", fmean(found))
        log_metric(f"rewards/{name}/std", pstdev(found))


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
