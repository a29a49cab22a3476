"""One policy's score on one task, read from an eval stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringlite_cli.report.files import Interval, interval, listing, mapping, num, numbers
from ringlite_cli.report.load import Stage
from ringlite_cli.report.palette import scores_of


@dataclass(frozen=True, slots=True)
class Score:
    """One policy on one task. Shares in [0, 1]; `before` is the score of the previous policy on the same task.

    contaminated: problems that stand in training sets too. verdicts: responses of each verdict.
    """

    policy: str
    task: str
    avg: float
    ends: Interval | None
    passed: float | None
    n: float | None
    k: float | None
    length: float | None
    truncated: float | None
    majority: float | None = None
    notes: tuple[str, ...] = ()
    before: "Score | None" = None
    contaminated: float | None = None
    verdicts: Mapping[str, float] = field(default_factory=dict)

    @property
    def change(self) -> float | None:
        return self.avg - self.before.avg if self.before else None

    @property
    def apart(self) -> bool | None:
        """Return whether the two intervals do not touch; None where one is missing."""
        if not self.before or not self.ends or not self.before.ends:
            return None
        return self.ends[0] > self.before.ends[1] or self.ends[1] < self.before.ends[0]


def scores_in(stage: Stage) -> list[Score]:
    """All scores of an eval stage: tasks in their order, in each the policies in theirs (that of the recipe)."""
    by_policy = mapping({"scores": scores_of(stage)}, "scores")
    tasks = dict.fromkeys(task for policy in by_policy for task in mapping(by_policy, policy))
    found: list[Score] = []
    for task in tasks:
        before: Score | None = None
        for policy in by_policy:
            if score := _score(policy, task, mapping(by_policy, policy).get(task), before):
                found.append(score)
                before = score
    return found


def _score(policy: str, task: str, row: object, before: Score | None) -> Score | None:
    avg = num(row, "avg@k")
    if avg is None:
        return None
    return Score(
        policy,
        task,
        avg,
        ends=interval(row, "ci95"),
        passed=num(row, "pass@k"),
        n=num(row, "n"),
        k=num(row, "k"),
        length=num(row, "response_tokens_mean"),
        truncated=num(row, "truncated_fraction"),
        majority=num(row, "maj@k"),
        notes=tuple(note for note in listing(row, "notes") if isinstance(note, str)),
        before=before,
        contaminated=num(row, "contaminated"),
        verdicts=numbers(mapping(row, "verdicts")),
    )
