"""Signs that an RL run collapses, read off its metrics rows: pure numbers, the same on all ranks and after a resume."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, median
from typing import Any

from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs.catalogue import keys
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.runs.signal import Facts, facts_of, in_words
from ringlite_cli.shares import in_percent
from ringlite_cli.train.guard.alarm import Alarm
from ringlite_cli.train.guard.gap import Gap, Paired, Scores

_WATCHED = keys("rl", watched=True)


class Watch:
    """Sees a row per step; tells of a rule when it is first broken, and again only after it has held in between."""

    def __init__(self, guard: Guard, paired: Paired | None = None, asked: str = "") -> None:
        """paired: compares held-out scores; None where nothing is held out. asked: a digest of the problems."""
        self.guard = guard
        self._gap = Gap(guard, paired, asked) if paired is not None else None
        self._recent: list[dict[str, float]] = []
        self._best: float | None = None  # mean reward of the best window
        self._first_length: float | None = None  # mean response length of the first window
        self._broken: list[str] = []
        self._barren: list[Facts] = []  # the last steps, as far as nothing could be learned from them

    def see(self, step: int, row: MetricsRow, held_out: Scores | None = None) -> list[Alarm]:
        """Return the rules that this row breaks anew. held_out: what was measured after this step, if anything was."""
        if alarm := self._not_finite(step, row):
            return [alarm]
        before = list(self._recent)
        self._recent = [*before, {name: float(row[name]) for name in _WATCHED if row.get(name) is not None}]
        self._recent = self._recent[-self.guard.window :]
        found = [*self._no_signal(step, row), *self._found(step, before)]
        if self._gap is not None:
            found += self._gap.see(step, row, held_out)
        new = [alarm for alarm in found if alarm.rule not in self._broken]
        self._broken = [alarm.rule for alarm in found]
        return new

    def forget(self) -> None:
        """Empty the window, so that every rule needs a whole one again; the best reward stays known."""
        self._recent, self._broken, self._barren = [], [], []
        if self._gap is not None:
            self._gap.forget()

    def state(self) -> dict[str, Any]:
        return {
            "recent": self._recent,
            "best": self._best,
            "length": self._first_length,
            "broken": self._broken,
            "barren": self._barren,
        } | ({"gap": self._gap.state()} if self._gap is not None else {})

    def restore(self, state: Mapping[str, Any]) -> None:
        self._recent, self._broken = [dict(row) for row in state["recent"]], list(state["broken"])
        self._best, self._first_length = state["best"], state["length"]
        self._barren = [dict(facts) for facts in state.get("barren", [])]
        if self._gap is not None and "gap" in state:
            self._gap.restore(state["gap"])

    def _found(self, step: int, before: Sequence[MetricsRow]) -> Iterator[Alarm]:
        if len(before) >= self.guard.window:
            yield from self._grad_norm(step, before)
        if len(self._recent) >= self.guard.window:
            yield from self._entropy(step)
            yield from self._reward(step)
            yield from self._length(step)
            yield from self._mismatch(step)

    def _mean(self, name: str) -> float | None:
        values = [row[name] for row in self._recent if name in row]
        return mean(values) if values else None

    def _not_finite(self, step: int, row: MetricsRow) -> Alarm | None:
        wrong = [name for name in ("loss", "grad_norm", *_WATCHED) if _is_no_number(row.get(name))]
        words = f"{wrong[0]} is {row[wrong[0]]}" if wrong else ""
        return Alarm(step, "not_finite", self.guard.not_finite.action, None, None, words) if wrong else None

    def _no_signal(self, step: int, row: MetricsRow) -> Iterator[Alarm]:
        rule, facts = self.guard.no_signal, facts_of(row)
        self._barren = [*self._barren, facts] if facts is not None else []
        if rule and len(self._barren) >= rule.steps:
            self._barren = self._barren[-rule.steps :]
            yield Alarm(step, "no_signal", rule.action, 0.0, None, in_words(self._barren))

    def _grad_norm(self, step: int, before: Sequence[MetricsRow]) -> Iterator[Alarm]:
        rule, norm = self.guard.grad_norm, self._recent[-1].get("grad_norm")
        usual = [row["grad_norm"] for row in before if "grad_norm" in row]
        if rule and norm is not None and usual and norm > (limit := rule.times * median(usual)) > 0:
            words = f"the gradient norm {norm:.3g} is over {rule.times:g} times the median of the steps before"
            yield Alarm(step, "grad_norm", rule.action, norm, limit, words)

    def _entropy(self, step: int) -> Iterator[Alarm]:
        rule, value = self.guard.entropy, self._mean("entropy")
        if rule is None or value is None:
            return
        if value < rule.low or (rule.high is not None and value > rule.high):
            limit, side = (rule.low, "below") if value < rule.low else (rule.high, "above")
            words = f"the entropy {value:.3f} is {side} {limit:g} nats per token"
            yield Alarm(step, "entropy", rule.action, value, limit, words)

    def _reward(self, step: int) -> Iterator[Alarm]:
        rule, value = self.guard.reward, self._mean("reward")
        if value is None:
            return
        self._best = max(value, self._best if self._best is not None else value)
        if rule and self._best > 0 and value < (limit := self._best * (1 - rule.drop)):
            words = f"the mean reward {value:.3f} has lost over {rule.drop:.0%} of its best, {self._best:.3f}"
            yield Alarm(step, "reward", rule.action, value, limit, words)

    def _length(self, step: int) -> Iterator[Alarm]:
        rule, length, cut = self.guard.length, self._mean("response_tokens_mean"), self._mean("truncated_fraction")
        if length is not None and self._first_length is None:
            self._first_length = length
        if rule and length is not None and self._first_length and length > (limit := rule.times * self._first_length):
            words = (
                f"responses have {length:.0f} tokens, over {rule.times:g} times the {self._first_length:.0f} at first"
            )
            yield Alarm(step, "length", rule.action, length, limit, words)
        if rule and cut is not None and cut > rule.truncated:
            words = f"{in_percent(cut)}% of the responses are truncated, over {rule.truncated:.0%}"
            yield Alarm(step, "truncated", rule.action, cut, rule.truncated, words)

    def _mismatch(self, step: int) -> Iterator[Alarm]:
        rule, value = self.guard.mismatch, self._mean("engine_mismatch")
        if rule and value is not None and value > rule.above:
            words = f"engine and trainer differ by {value:.3f} nats per token, over {rule.above:g}"
            yield Alarm(step, "mismatch", rule.action, value, rule.above, words)
            return
        masked = self._mean("mismatch_masked")
        if rule and masked is not None and masked > rule.masked:
            words = f"the mismatch rule masks {in_percent(masked)}% of the tokens, over {rule.masked:.0%}"
            yield Alarm(step, "mismatch", rule.action, masked, rule.masked, words)


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
