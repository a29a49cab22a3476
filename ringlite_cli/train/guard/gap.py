"""The gap between training reward and a held-out score: the sign of a reward that is hacked.

Of each domain that is held out, the best measurement so far is kept. The rule is broken where a later one is worse
beyond the interval of their difference, paired by problem, while the training reward of some domain has risen since.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs.ranks import is_follower
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.train.guard.alarm import Alarm

log = logging.getLogger(__name__)

Scores = Mapping[str, Sequence[float | None]]
"""Domain -> score of each held-out problem, always in the same order; None where its verifier failed."""
Paired = Callable[[Sequence[float], Sequence[float], float], tuple[float, tuple[float, float]]]
"""(before, after, confidence) -> mean of after - before over the same problems, and its interval."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best measurement of a held-out domain. rewards: the training rewards at that time, domain -> mean."""

    step: int
    scores: list[float | None]
    rewards: dict[str, float]


class Gap:
    """Watches the rule reward_gap over the measurements of a run. The same on all ranks and after a resume."""

    def __init__(self, guard: Guard, paired: Paired, asked: str = "") -> None:
        """asked: a digest of the held-out problems. Measurements of others are not compared."""
        self._rule, self._window, self._paired, self._asked = guard.reward_gap, guard.window, paired, asked
        self._rewards: list[dict[str, float]] = []  # of the last steps, by domain
        self._best: dict[str, Best] = {}
        self._open: list[Alarm] = []  # what the last measurement broke; it holds until the next one

    def see(self, step: int, row: MetricsRow, held_out: Scores | None) -> list[Alarm]:
        """Return what is broken after this step; between two measurements, what the last one broke."""
        by_domain = row.get("reward_by_domain") or {}
        self._rewards.append({domain: float(value) for domain, value in by_domain.items() if value is not None})
        self._rewards = self._rewards[-self._window :]
        if held_out:
            rewards = self._means()
            self._open = [alarm for domain, scores in held_out.items() for alarm in self._fell(step, domain, scores)]
            for domain, scores in held_out.items():
                best = self._best.get(domain)
                if best is None or _mean(scores) > _mean(best.scores):
                    self._best[domain] = Best(step, list(scores), rewards)
        return self._open

    def forget(self) -> None:
        """Empty the window; the best measurements stay known."""
        self._rewards, self._open = [], []

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        best = {domain: asdict(each) for domain, each in self._best.items()}
        opened = [alarm.row() for alarm in self._open]
        return {"rewards": self._rewards, "best": best, "open": opened, "asked": self._asked}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept; without its measurements where they are of other problems."""
        self._rewards = [dict(each) for each in state["rewards"]]
        if state.get("asked", self._asked) != self._asked:
            if not is_follower():
                log.warning("the held-out problems are others now: reward_gap compares those of this step and later")
            return
        self._best = {domain: Best(**each) for domain, each in state["best"].items()}
        self._open = [Alarm(**row) for row in state["open"]]

    def _means(self) -> dict[str, float]:
        """Return the training reward of each domain, mean over the window's steps that had it."""
        domains = {domain for each in self._rewards for domain in each}
        return {d: fmean(each[d] for each in self._rewards if d in each) for d in sorted(domains)}

    def _fell(self, step: int, domain: str, scores: Sequence[float | None]) -> Iterator[Alarm]:
        rule, best = self._rule, self._best.get(domain)
        if rule is None or best is None:
            return
        pairs = [(a, b) for a, b in zip(best.scores, scores, strict=True) if a is not None and b is not None]
        now = self._means()
        risen = {d: now[d] - best.rewards[d] for d in now if d in best.rewards and now[d] > best.rewards[d]}
        if len(pairs) < 2 or not risen:
            return
        before, after = ([pair[k] for pair in pairs] for k in (0, 1))
        change, (low, high) = self._paired(before, after, rule.confidence)
        if high >= 0:
            return
        most = max(risen, key=lambda each: risen[each])
        words = (
            f"since step {best.step} the training reward of {most} has risen from {best.rewards[most]:.3f} to "
            f"{now[most]:.3f}, and the held-out score of {domain} has fallen from {fmean(before):.3f} to "
            f"{fmean(after):.3f} ({rule.confidence:.0%} interval of the change {low:+.3f} to {high:+.3f}, "
            f"{len(pairs)} problems)"
        )
        yield Alarm(step, "reward_gap", rule.action, change, 0.0, words)


def _mean(scores: Sequence[float | None]) -> float:
    """Return the mean of the scores that there are; less than any where there is none."""
    known = [score for score in scores if score is not None]
    return fmean(known) if known else float("-inf")
