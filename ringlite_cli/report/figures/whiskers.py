"""Dots with whiskers: a score with its interval, one row per policy."""

from dataclasses import dataclass

from markupsafe import Markup

from ringlite_cli.report.figures.svg import RIGHT, Figure, Grid, Scale, Sheet, el, tick_text
from ringlite_cli.report.files import Interval
from ringlite_cli.report.words import clipped, fixed

WIDTH, ROW, LABELS, NUMBERS = 300, 26, 82, 42
"""Narrower than the other panels: four domains stand side by side on a wide page."""


@dataclass(frozen=True, slots=True)
class Whisker:
    """A score in [0, 1] with its 95 % interval where there is one; `shape` is one of circle, square, diamond."""

    label: str
    style: str
    shape: str
    score: float
    ends: Interval | None


def whiskers(sheet: Sheet, title: str, rows: list[Whisker], top: float) -> Figure | None:
    """One panel; its axis runs from 0 to `top` (a share, drawn in percent), so that panels can be compared."""
    if not rows:
        return None
    height = 30 + ROW * len(rows)
    floor = height - 26.0
    x = Scale(0.0, 100 * top, float(LABELS), float(WIDTH - NUMBERS - RIGHT))
    body: list[Markup] = []
    for value in x.ticks(4):
        body.append(el("line", class_="grid", x1=x(value), x2=x(value), y1=2.0, y2=floor))
        body.append(el("text", tick_text(value), class_="tick mid", x=x(value), y=floor + 13))
    body.append(el("text", "%", class_="axis end", x=float(WIDTH - RIGHT), y=floor + 13))
    for k, row in enumerate(rows):
        body += _row(x, row, 2 + ROW * (k + 0.5))
    grid = Grid(["", "%", "from", "to"], [_cells(row) for row in rows])
    return sheet.figure(title, _describe(rows), body, [], grid, height=height, width=WIDTH)


def _cells(row: Whisker) -> list[str]:
    ends: tuple[float | None, float | None] = row.ends or (None, None)
    return [row.label, *(fixed(None if v is None else 100 * v, 1) for v in (row.score, *ends))]


def _row(x: Scale, row: Whisker, at: float) -> list[Markup]:
    score = x(100 * row.score)
    parts = [el("text", clipped(row.label, 13), class_="tick end label", x=LABELS - 8.0, y=at + 4)]
    if row.ends:
        lo, hi = x(100 * row.ends[0]), x(100 * row.ends[1])
        parts.append(el("line", class_=f"whisker {row.style}", x1=lo, x2=hi, y1=at, y2=at))
        parts += [el("line", class_=f"whisker {row.style}", x1=end, x2=end, y1=at - 4, y2=at + 4) for end in (lo, hi)]
    shown = el("text", fixed(100 * row.score, 1), class_="tick end strong", x=float(WIDTH - RIGHT), y=at + 4)
    return [*parts, _shape(row, score, at), shown]


def _shape(row: Whisker, x: float, y: float) -> Markup:
    if row.shape == "square":
        return el("rect", class_=f"dot {row.style}", x=x - 4, y=y - 4, width=8.0, height=8.0)
    if row.shape == "diamond":
        return el("path", class_=f"dot {row.style}", d=f"M{x:.1f},{y - 5.5:.1f}l5.5,5.5l-5.5,5.5l-5.5,-5.5Z")
    return el("circle", class_=f"dot {row.style}", cx=x, cy=y, r=4.5)


def _describe(rows: list[Whisker]) -> str:
    said = []
    for row in rows:
        ends = f" (95 % interval {fixed(100 * row.ends[0], 1)} to {fixed(100 * row.ends[1], 1)})" if row.ends else ""
        said.append(f"{row.label} {fixed(100 * row.score, 1)} %{ends}")
    return "; ".join(said) + "."
