"""What is counted of all rollouts of a stage while they stream by."""

from collections import Counter
from dataclasses import dataclass, field

from ringlite_cli.report.files import JsonRow, mapping, num, text
from ringlite_cli.report.reading.groups import counts_as_right

MOST_VALUES = 1000
"""Values of a label that are counted; the first that come."""


@dataclass(slots=True)
class Tallies:
    """middle: the step that begins the last half; None where a stage has one step. rows: rollouts seen.

    verdicts: domain -> verdict -> rollouts. labels: label -> value -> [rollouts, sum of rewards] of each half.
    ends: (domain, right) -> the first and the last such rollout.
    """

    middle: float | None
    rows: int = 0
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    labels: dict[str, dict[str, tuple[list[float], list[float]]]] = field(default_factory=dict)
    ends: dict[tuple[str, bool | None], list[tuple[int, JsonRow]]] = field(default_factory=dict)

    def add(self, row: JsonRow) -> None:
        self.rows += 1
        domain, verdict, reward = text(row, "domain", "?"), text(row, "verdict"), num(row, "reward")
        if verdict:
            self.verdicts.setdefault(domain, Counter())[verdict] += 1
        if verdict or text(row, "response"):
            kind = self.ends.setdefault((domain, counts_as_right(row)), [])
            kind[1:] = [(self.rows, row)]  # the first stays, the last is replaced
        step = num(row, "step")
        if reward is not None and step is not None:
            late = self.middle is not None and step >= self.middle
            for name, value in mapping(row, "labels").items():
                values = self.labels.setdefault(name, {})
                if str(value) in values or len(values) < MOST_VALUES:
                    sums = values.setdefault(str(value), ([0, 0.0], [0, 0.0]))[late]
                    sums[0] += 1
                    sums[1] += reward

    def examples(self, most: int) -> list[JsonRow]:
        """Return the first and the last rollout of each kind, in order of domain and step, at most `most`."""
        found = {place: row for kind in self.ends.values() for place, row in kind}
        order = sorted(found.items(), key=lambda pair: (text(pair[1], "domain", "?"), pair[0]))
        return [row for _, row in order][:most]


def middle_of(steps: list[float]) -> float | None:
    """Return the step that begins the last half of some steps; None for fewer than two."""
    found = sorted(set(steps))
    return found[len(found) // 2] if len(found) > 1 else None
