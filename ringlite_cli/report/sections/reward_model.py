"""The reward model: its training, its accuracy on held-out pairs, and whether it is right as often as it is sure."""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.figures import Figure, Series, Sheet, lines
from ringlite_cli.report.files import JsonRow, interval, mapping, num, objects
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.common import opening, panel
from ringlite_cli.report.words import count, fixed, percent, percent_interval
from ringlite_cli.runs.catalogue.panels import REWARD_MODEL_PANELS

_STYLE = "p-rl0"


def section(run: Run, pens: Pens) -> Section | None:
    """Return the section of the run's reward models; None where it has no such stage."""
    stages = run.of("reward-model")
    if not stages:
        return None
    page = Section("reward-model", "Reward model", short="Reward model")
    for stage in stages:
        page.blocks += opening(stage, stages)
        _held_out(page, stage, pens)
        if stage.metrics:
            page.figures(*(panel(stage, each, pens, _STYLE) for each in REWARD_MODEL_PANELS))
        else:
            page.say(f"{stage.name}/metrics.jsonl is missing or has no rows yet.", "missing")
    return page


def _held_out(page: Section, stage: Stage, pens: Pens) -> None:
    account = stage.load("pairs.json")
    if isinstance(account, dict):
        left_out = ", ".join(f"{number} {reason}" for reason, number in mapping(account, "left_out").items())
        page.say(
            f"{count(num(account, 'pairs'))} pairs" + (f"; left out: {left_out}" if left_out else "") + ".", "note"
        )
    found = stage.load("held_out.json")
    if not isinstance(found, dict):
        page.say(f"{stage.name}/held_out.json is missing: held-out pairs are not scored yet.", "missing")
        return
    accuracy = num(found, "accuracy")
    if accuracy is None:
        page.say("No pair is held out: nothing tells how good the reward model is.", "warn")
        return
    page.say(
        f"{percent(accuracy)} of {count(num(found, 'pairs'))} held-out pairs are ranked right "
        f"({percent_interval(interval(found, 'ci95'))}); it is off by {percent(num(found, 'calibration_error'))} from "
        f"what it is sure of, Brier score {fixed(num(found, 'brier'), 3)}.",
        "lead",
    )
    page.figures(calibration(found, pens.sheet))
    page.blocks.append(_table(found))


def calibration(numbers: Mapping[str, Any], sheet: Sheet) -> Figure | None:
    """Return the figure of how often the model is right over how sure it is, beside the line where both are equal."""
    bins = objects(numbers.get("bins"))
    points = [(100 * (num(b, "confidence") or 0), 100 * (num(b, "accuracy") or 0)) for b in bins]
    ends = [_in_percent(b) for b in bins]
    curves = [
        Series("right", _STYLE, points, "dots", ends),
        Series("as sure as right", "p-quiet", [(50.0, 50.0), (100.0, 100.0)], "dash"),
    ]
    if not points:
        return None
    return lines(sheet, "Calibration", "% sure, by sigmoid(|margin|)", "% of pairs ranked right", curves, even=False)


def _in_percent(row: JsonRow) -> tuple[float, float] | None:
    ends = interval(row, "ci95")
    return (100 * ends[0], 100 * ends[1]) if ends else None


def _table(numbers: JsonRow) -> Table:
    columns = [Column("sure"), Column("pairs"), Column("right"), Column("95 % interval", False)]
    rows = []
    for each in objects(numbers.get("bins")):
        sure, pairs, right = (num(each, key) for key in ("confidence", "pairs", "accuracy"))
        ends = percent_interval(interval(each, "ci95"))
        rows.append([Cell(percent(sure), sure), Cell(count(pairs), pairs), Cell(percent(right), right), Cell(ends)])
    return Table("How sure it is, and how often it is right", columns, rows, folded=True)
