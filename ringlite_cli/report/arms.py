"""The comparison page of an experiment: arms by task over seeds, differences with intervals, and RL's curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.build import render_page
from ringlite_cli.report.figures import Series, Sheet, Whisker, lines, whiskers
from ringlite_cli.report.figures.thin import smooth, smoothing_window
from ringlite_cli.report.sections.project import efficiency_figures, efficiency_table
from ringlite_cli.report.words import NONE, decimal, fixed, joined, percent, points
from ringlite_cli.runs.catalogue.panels import ARM_PANELS

_STYLES = ("p-base", "p-rl0", "p-rl1", "p-rl2", "p-rl3", "p-rl4", "p-sft")
_SHAPES = ("circle", "square", "diamond")
_NOTE = (
    "Each difference is paired over the problems of its seed. The interval is Student's t over the seeds, as a "
    "training run is the unit: with few seeds it is wide. It says nothing of other models, data or sizes."
)


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """The page as HTML, from what `evals.arms.compare_arms` and the experiment's file say. Shares in [0, 1]."""
    sheet = Sheet()
    arms = list(comparison["arms"])
    return render_page(
        kicker="ringlite experiment",
        name=comparison["experiment"],
        note=" ".join(
            f"Not compared: {row['arm']}, seed {row['seed']}: {row['why']}." for row in comparison["left_out"]
        ),
        summary=_summary(comparison),
        sections=[
            _scores(comparison, arms, sheet),
            _differences(comparison),
            _training(comparison, arms, sheet),
            _efficiency(comparison, arms, sheet),
            _setup(comparison),
        ],
        source="the experiment's run folders",
    )


def _summary(comparison: Mapping[str, Any]) -> str:
    base = next(iter(comparison["arms"]))
    said = [comparison["question"]] if comparison["question"] else []
    whole = [row for row in comparison["differences"] if row["task"] == "mean of tasks"]
    several = len({row["policy"] for row in comparison["differences"]}) > 1
    for row in whole or comparison["differences"]:
        by_seed = ", ".join(points(value) for value in row["by_seed"].values())
        where = (f" in {row['policy']}" if several else "") + ("" if whole else f" on {row['task']}")
        said.append(
            f"{row['arm']} against {base}{where}: {points(row['mean'])} points ({by_seed} by seed): {row['verdict']}."
        )
    return " ".join(said) or "No run to compare yet."


def _scores(comparison: Mapping[str, Any], arms: list[str], sheet: Sheet) -> Section:
    page = Section("scores", "Scores of the arms")
    rows = comparison["scores"]
    highest = max((value for row in rows for value in row["by_seed"].values()), default=1.0)
    top = next((t for t in (0.1, 0.2, 0.4, 0.6, 0.8) if highest <= t), 1.0)
    panels = []
    compared = {row["policy"] for row in comparison["differences"]} or {row["policy"] for row in rows}
    for policy, task in dict.fromkeys((row["policy"], row["task"]) for row in rows if row["policy"] in compared):
        mine = [row for row in rows if (row["policy"], row["task"]) == (policy, task)]
        shown = [_whisker(row, arms) for row in mine]
        panels.append(whiskers(sheet, f"{policy}, {task}: mean, lowest and highest seed", shown, top))
    page.figures(*panels, small=True)
    seeds = comparison["seeds"]
    columns = [Column(name, False) for name in ("policy", "task", "arm")]
    columns += [Column(name) for name in ("mean", "sd over seeds", *(f"seed {seed}" for seed in seeds))]
    body = [
        [
            *(Cell(row["policy"]), Cell(row["task"])),
            Cell(row["arm"], tone=f"key {_style(row['arm'], arms)}"),
            Cell(percent(row["mean"]), row["mean"], "strong"),
            Cell(fixed(row["sd"] and 100 * row["sd"], 1), row["sd"]),
            *(Cell(percent(row["by_seed"].get(seed)), row["by_seed"].get(seed)) for seed in seeds),
        ]
        for row in sorted(rows, key=lambda row: (row["policy"], row["task"], arms.index(row["arm"])))
    ]
    page.blocks.append(Table("avg@k by arm, task and seed", columns, body))
    return page


def _differences(comparison: Mapping[str, Any]) -> Section:
    base, seeds = next(iter(comparison["arms"])), comparison["seeds"]
    page = Section("differences", f"Differences to {base}")
    if not comparison["differences"]:
        page.say("No seed has both arms yet.", "missing")
        return page
    columns = [Column(name, False) for name in ("policy", "task", "arm")]
    columns += [Column(name) for name in ("difference", "95 % over seeds", *(f"seed {seed}" for seed in seeds))]
    body = []
    for row in comparison["differences"]:
        ends, tone = row["ci95"], {"better": "good", "worse": "bad"}.get(row["verdict"], "")
        body.append(
            [
                *(Cell(row[key]) for key in ("policy", "task", "arm")),
                Cell(points(row["mean"]), row["mean"], f"strong {tone}".strip()),
                Cell(f"{points(ends[0])} to {points(ends[1])}" if ends else NONE, ends and ends[0]),
                *(_seed_cell(row, seed) for seed in seeds),
                Cell(row["verdict"], tone=tone or "quiet"),
            ]
        )
    columns.append(Column("verdict", False))
    page.blocks.append(Table(f"Percentage points above {base}; by seed with 95 % over problems", columns, body, _NOTE))
    return page


def _seed_cell(row: Mapping[str, Any], seed: int) -> Cell:
    value, ends = row["by_seed"].get(seed), row["by_seed_ci95"].get(seed)
    within = f" [{points(ends[0])}, {points(ends[1])}]" if ends else ""
    return Cell(points(value) + within, value)


def _training(comparison: Mapping[str, Any], arms: list[str], sheet: Sheet) -> Section:
    page = Section("training", "Reinforcement learning", short="RL")
    curves = comparison["curves"]
    if len(comparison["seeds"]) > 1:
        page.say("Line: mean over the seeds. Band: from the lowest to the highest seed, which is no interval.", "note")
    page.figures(
        *(
            lines(
                sheet,
                panel.title,
                "RL step",
                panel.unit + ", mean over seeds",
                [_banded(arm, _style(arm, arms), curves[arm][key]) for arm in arms if curves[arm][key]],
                zero=panel.zero,
                log=panel.log,
            )
            for panel in ARM_PANELS
            for key in (panel.curves[0].key,)
        )
    )
    rows, seeds = comparison["training"], comparison["seeds"]
    if not rows:
        page.say("No RL stage is done yet.", "missing")
        return page
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    columns = [Column("metric", False), Column("arm", False)]
    columns += [Column(name) for name in ("mean", "sd over seeds", *(f"seed {seed}" for seed in seeds))]
    body = [
        [
            Cell(row["metric"]),
            Cell(row["arm"], tone=f"key {_style(row['arm'], arms)}"),
            *(Cell(decimal(v), v) for v in (row["mean"], row["sd"], *(row["by_seed"].get(seed) for seed in seeds))),
        ]
        for row in sorted(rows, key=lambda row: (metrics.index(row["metric"]), arms.index(row["arm"])))
    ]
    page.blocks.append(Table("RL in numbers", columns, body))
    return page


def _banded(arm: str, style: str, points: Sequence[Sequence[float]]) -> Series:
    """The mean over the seeds, and behind it the band from the lowest to the highest seed (smoothed as the mean is)."""
    steady = [[y for _, y in smooth([(p[0], p[k]) for p in points], smoothing_window(len(points)))] for k in (2, 3)]
    band = list(zip(*steady, strict=True))
    return Series(arm, style, [(p[0], p[1]) for p in points], "mean", spread=band)


def _efficiency(comparison: Mapping[str, Any], arms: list[str], sheet: Sheet) -> Section:
    page = Section("efficiency", "Token efficiency")
    rows = comparison["efficiency"]
    if not rows:
        page.say("No run has trained by both SFT and RL.", "missing")
        return page
    of = {arm: [row for row in rows if row["run"].split("/")[0] == arm] for arm in arms}
    page.blocks += efficiency_figures(sheet, [(arm, _style(arm, arms), of[arm], "final") for arm in arms])
    page.blocks.append(efficiency_table(rows))
    return page


def _setup(comparison: Mapping[str, Any]) -> Section:
    page = Section("setup", "What was run")
    seeds = joined([str(seed) for seed in comparison["seeds"]])
    word = "seed" if len(comparison["seeds"]) == 1 else "seeds"
    page.say(f"Recipe {comparison['recipe']}, {word} {seeds}; each arm's changes of the recipe:")
    body = [
        [Cell(arm), Cell(key, tone="code"), Cell(str(value), tone="code")]
        for arm, keys in comparison["arms"].items()
        for key, value in (keys or {"–": "as the recipe is"}).items()
    ]
    page.blocks.append(Table("Arms", [Column(name, False) for name in ("arm", "key", "value")], body))
    if comparison["picks"]:
        page.blocks.append(_picks(comparison["picks"]))
    return page


def _picks(picks: Sequence[Mapping[str, Any]]) -> Table:
    columns = [Column(name, False) for name in ("arm", "seed", "rule", "checkpoint")]
    columns += [Column(name) for name in ("epoch", "entropy", "pass@1")]
    body = [
        [
            *(Cell(str(row[key])) for key in ("arm", "seed", "rule", "picked")),
            Cell(fixed(row["epoch"], 2), row["epoch"]),
            Cell(fixed(row["entropy"], 3), row["entropy"]),
            Cell(percent(row["pass@1"]), row["pass@1"]),
        ]
        for row in picks
    ]
    return Table("Where RL started", columns, body)


def _whisker(row: Mapping[str, Any], arms: list[str]) -> Whisker:
    values = list(row["by_seed"].values())
    place = arms.index(row["arm"])
    return Whisker(row["arm"], _style(row["arm"], arms), _SHAPES[place % 3], row["mean"], (min(values), max(values)))


def _style(arm: str, arms: list[str]) -> str:
    return _STYLES[arms.index(arm) % len(_STYLES)]
