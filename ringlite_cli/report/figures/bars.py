"""Horizontal bars: a label, one or more segments, and the number at the end."""

from dataclasses import dataclass

from markupsafe import Markup

from ringlite_cli.report.figures.svg import WIDTH, Figure, Grid, Key, Sheet, el
from ringlite_cli.report.words import clipped

ROW, LABELS, NUMBERS = 21, 142, 62


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: segments are (style, length); `start` is where the first begins; `shown` is the number as text."""

    label: str
    segments: list[tuple[str, float]]
    shown: str
    start: float = 0.0


def bars(sheet: Sheet, title: str, rows: list[Bar], legend: list[Key] | None = None) -> Figure | None:
    """Bars on one scale from 0, or None where there are none."""
    if not rows:
        return None
    longest = max(row.start + sum(length for _, length in row.segments) for row in rows) or 1.0
    unit = (WIDTH - LABELS - NUMBERS) / longest
    body: list[Markup] = []
    for k, row in enumerate(rows):
        body += _row(row, 2 + k * ROW, unit)
    describe = "; ".join(f"{row.label} {row.shown}" for row in rows if row.label) + "."
    grid = Grid(["", "value"], [[row.label, row.shown] for row in rows if row.label])
    return sheet.figure(title, describe, body, legend or [], grid, height=4 + ROW * len(rows))


def _row(row: Bar, top: int, unit: float) -> list[Markup]:
    parts = [el("text", clipped(row.label, 24), class_="tick end label", x=LABELS - 8.0, y=top + 14.0)]
    at = LABELS + row.start * unit
    for style, length in row.segments:
        if length > 0:
            wide = max(length * unit, 1.0)
            parts.append(el("rect", class_=f"bar {style}", x=at, y=top + 3.0, width=wide, height=ROW - 6.0))
            at += length * unit
    return [*parts, el("text", row.shown, class_="tick", x=max(at, LABELS + 1) + 5, y=top + 14.0)]
