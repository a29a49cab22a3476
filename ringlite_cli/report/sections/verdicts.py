"""Verdicts by domain and policy: what became of the responses, and not only how many were right."""

from collections import Counter

from ringlite_cli.report.blocks import Cell, Column, Table
from ringlite_cli.report.files import mapping, numbers
from ringlite_cli.report.load import Stage
from ringlite_cli.report.palette import scores_of
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.reading.tallies import Tallies
from ringlite_cli.report.words import clipped, count, decimal, label, percent

VALUES_SHOWN = 16
"""Values of a label in a table."""

Found = dict[tuple[str, str], dict[str, float]]
"""(domain or task, policy or stretch of steps) -> verdict -> responses."""


def of_scores(stage: Stage, pens: Pens) -> Table | None:
    """Return the table of an eval stage: a row per task and policy; None where no score counts its verdicts."""
    by_policy = mapping({"scores": scores_of(stage)}, "scores")
    found: Found = {}
    for task in dict.fromkeys(task for policy in by_policy for task in mapping(by_policy, policy)):
        for policy in by_policy:
            row = mapping(by_policy, policy).get(task)
            if tally := {k: v for k, v in numbers(mapping(row, "verdicts")).items() if v > 0}:
                found[task, policy] = tally
    return _table(f"Verdicts of {stage.name}: share of the responses", "policy", found, pens)


def of_rollouts(stage: Stage, told: Tallies, pens: Pens) -> Table | None:
    """Return the table of an RL stage: a row per domain, with the verdicts of all its rollouts."""
    tallies: Found = {(domain, "all"): dict(tally) for domain, tally in sorted(told.verdicts.items())}
    return _table(f"Verdicts of {stage.name}'s rollouts: share of the responses", "rollouts", tallies, pens)


def rewards_by_label(told: Tallies) -> list[Table]:
    """A table per label: mean reward of each value's rollouts, over the first and the last half of the steps."""
    return [_reward_table(name, values, halves=told.middle is not None) for name, values in told.labels.items()]


def _reward_table(name: str, values: dict[str, tuple[list[float], list[float]]], *, halves: bool) -> Table:
    """The values with most rollouts, in their own order."""
    counts = {value: early[0] + late[0] for value, (early, late) in values.items()}
    drawn = sorted(sorted(values, key=lambda value: -counts[value])[:VALUES_SHOWN])
    columns = [Column(label(name), False), Column("rollouts"), Column("mean reward")]
    if halves:
        columns += [Column("first half of the steps"), Column("last half")]
    rows = []
    for value in drawn:
        early, late = values[value]
        both = [early[0] + late[0], early[1] + late[1]]
        means = [
            rewards / number if number else None for number, rewards in ([both, early, late] if halves else [both])
        ]
        cells = [Cell("–" if mean is None else decimal(mean), mean) for mean in means]
        rows.append([Cell(clipped(value, 60)), Cell(count(counts[value]), counts[value]), *cells])
    return Table(f"Reward by {label(name)}", columns, rows)


def _table(caption: str, second: str, found: Found, pens: Pens) -> Table | None:
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
