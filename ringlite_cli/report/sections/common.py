"""What several sections say in the same way."""

from collections.abc import Iterator

from ringlite_cli.report.blocks import Block, Heading, Text
from ringlite_cli.report.figures import Figure, Series, lines
from ringlite_cli.report.figures.thin import Point
from ringlite_cli.report.files import JsonRow, mapping, num, number
from ringlite_cli.report.load import Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.words import count
from ringlite_cli.runs.catalogue import value_of
from ringlite_cli.runs.catalogue.columns import Panel

_STANDING = {
    "running": "is still running, or stopped without a word: below is what it has written so far",
    "interrupted": "was interrupted: below is what it had written; the same command goes on from there",
    "failed": "failed: below is what it had written until then",
    "unknown": "has no readable manifest: below is what its files hold",
}


def standing(stage: Stage) -> list[Block]:
    """A warning where the stage is not done, and what it left as a message."""
    found: list[Block] = []
    if stage.status in _STANDING:
        found.append(Text(f"{stage.name} {_STANDING[stage.status]}.", "warn"))
    if stage.message and stage.status != "interrupted":
        found.append(Text(stage.message, "warn"))
    if stage.bad_lines:
        found.append(Text(f"{count(stage.bad_lines)} lines of {stage.name}/metrics.jsonl could not be read.", "note"))
    if stage.redone:
        found.append(
            Text(
                f"{count(stage.redone)} steps were redone after an interruption; the later row of each counts.", "note"
            )
        )
    return found + [Text(line, "note") for line in _changes(stage)]


def _changes(stage: Stage) -> Iterator[str]:
    """Yield what the stage went on with at some step: other values of keys, or other code."""
    entries = stage.manifest.get("changes")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        step, keys = entry.get("step"), mapping(entry, "keys")
        for name, values in keys.items():
            old, new = values if isinstance(values, list) and len(values) == 2 else ("?", values)
            yield f"{stage.name}: from step {step} on, {name} is {new} ({old} before)."
        if maker := entry.get("made_by"):
            yield f"{stage.name}: until step {step}, it was made by {maker}."


def opening(stage: Stage, siblings: list[Stage]) -> list[Block]:
    """The stage's name as a heading where the section holds several, and how it stands."""
    named: list[Block] = [Heading(stage.name)] if len(siblings) > 1 else []
    return named + standing(stage)


def points(rows: list[JsonRow], key: str, x: str = "step") -> list[Point]:
    """(x, value) of the rows that have both."""
    found = ((num(row, x), number(value_of(row, key))) for row in rows)
    return [(a, b) for a, b in found if a is not None and b is not None]


def panel(stage: Stage, drawn: Panel, pens: Pens, style: str = "") -> Figure | None:
    """Draw a panel of the catalogue from a stage's rows, or None where no row has any of its metrics.

    style: the colour class of curves that name none; by default the stage's own policy's.
    """
    own = style or pens.palette.policy(stage.name)[0]
    curves = [curve(stage.metrics, c.key, c.label, c.style or own, c.kind) for c in drawn.curves]
    return lines(pens.sheet, drawn.title, "step", drawn.unit, curves, zero=drawn.zero, log=drawn.log)


def curve(rows: list[JsonRow], key: str, name: str, style: str, kind: str = "line") -> Series:
    return Series(name, style, points(rows, key), kind)
