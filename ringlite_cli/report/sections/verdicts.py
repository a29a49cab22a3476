"""Verdicts by domain and policy: what became of the responses, and not only how many were right."""

from collections import Counter

from ringlite_cli.report.blocks import Cell, Column, Table
from ringlite_cli.report.files import Row, mapping, num, numbers, text
from ringlite_cli.report.load import Stage
from ringlite_cli.report.palette import scores_of
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.words import clipped, count, decimal, label, percent

VALUES_SHOWN = 16
"""Values of a label in a table."""

Tallies = dict[tuple[str, str], dict[str, float]]
"""(domain or task, policy or stretch of steps) -> verdict -> responses."""


def of_scores(stage: Stage, pens: Pens) -> Table | None:
    """Of an eval stage: a row per task and policy; None where no score counts its verdicts."""
    by_policy = mapping({"scores": scores_of(stage)}, "scores")
    found: Tallies = {}
    for task in dict.fromkeys(task for policy in by_policy for task in mapping(by_policy, policy)):
        for policy in by_policy:
            row = mapping(by_policy, policy).get(task)
            if tally := {k: v for k, v in numbers(mapping(row, "verdicts")).items() if v > 0}:
                found[task, policy] = tally
    return _table(f"Verdicts of {stage.name}: share of the responses", "policy", found, pens)


def of_rollouts(stage: Stage, rows: list[Row], pens: Pens, *, cut: bool) -> Table | None:
    """Of an RL stage: a row per domain, with the verdicts of the rollouts that were read."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        if verdict := text(row, "verdict"):
            found.setdefault((text(row, "domain", "?"), "those read" if cut else "all"), Counter())[verdict] += 1
    tallies: Tallies = {key: dict(tally) for key, tally in sorted(found.items())}
    return _table(f"Verdicts of {stage.name}'s rollouts: share of the responses", "rollouts", tallies, pens)


def rewards_by_label(rows: list[Row], *, cut: bool = False) -> list[Table]:
    """A table per label: mean reward of each value's rollouts, over the first and the last half of the steps.

    cut: the middle of the rollouts was not read, which the tables then say.
    """
    steps = sorted({step for row in rows if (step := num(row, "step")) is not None})
    middle = steps[len(steps) // 2] if len(steps) > 1 else None
    found: dict[str, dict[str, list[tuple[bool, float]]]] = {}
    for row in rows:
        reward, step = num(row, "reward"), num(row, "step")
        if reward is None or step is None:
            continue
        for name, value in mapping(row, "labels").items():
            late = middle is not None and step >= middle
            found.setdefault(name, {}).setdefault(str(value), []).append((late, reward))
    return [_reward_table(name, values, halves=middle is not None, cut=cut) for name, values in found.items()]


def _reward_table(name: str, values: dict[str, list[tuple[bool, float]]], *, halves: bool, cut: bool) -> Table:
    """The values with most rollouts, in their own order."""
    drawn = sorted(sorted(values, key=lambda value: -len(values[value]))[:VALUES_SHOWN])
    columns = [Column(label(name), False), Column("rollouts read" if cut else "rollouts"), Column("mean reward")]
    if halves:
        columns += [Column("first half of the steps"), Column("last half")]
    rows = []
    for value in drawn:
        pairs = values[value]
        means = [_mean([reward for _, reward in pairs])]
        if halves:
            means += [_mean([reward for late, reward in pairs if late == half]) for half in (False, True)]
        cells = [Cell("–" if mean is None else decimal(mean), mean) for mean in means]
        rows.append([Cell(clipped(value, 60)), Cell(count(len(pairs)), len(pairs)), *cells])
    return Table(f"Reward by {label(name)}" + (", of the first and last rollouts" if cut else ""), columns, rows)


def _mean(rewards: list[float]) -> float | None:
    return sum(rewards) / len(rewards) if rewards else None


def _table(caption: str, second: str, found: Tallies, pens: Pens) -> Table | None:
    if not found:
        return None
    total: Counter[str] = Counter()
    for tally in found.values():
        total.update(tally)
    verdicts = [name for name, _ in total.most_common()]
    columns = [Column("domain", False), Column(second, False), Column("responses")]
    columns += [Column(label(name)) for name in verdicts]
    rows = []
    for (domain, who), tally in found.items():
        responses = sum(tally.values())
        shares = [tally.get(name, 0.0) / responses for name in verdicts]
        rows.append(
            [
                Cell(domain, tone=f"key {pens.palette.domain(domain)}"),
                Cell(who),
                Cell(count(responses), responses),
                *(Cell(percent(share), share, "" if share else "quiet") for share in shares),
            ]
        )
    return Table(caption, columns, rows)
