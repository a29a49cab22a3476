"""Stacked areas: how parts add up over steps."""

from ringlite_cli.report.figures.lines import Series, _data, as_grid
from ringlite_cli.report.figures.marks import NO_MARKS, Marks, drawn_stages, readable
from ringlite_cli.report.figures.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Figure,
    Key,
    Sheet,
    axes,
    el,
    px,
    step_scale,
    value_scale,
)
from ringlite_cli.report.figures.thin import POINTS, Point, stretch_means
from ringlite_cli.report.words import decimal


def stack(
    sheet: Sheet, title: str, x_title: str, y_title: str, parts: list[Series], marks: Marks = NO_MARKS
) -> Figure | None:
    """Areas on top of each other, first at the bottom, or None without points. All parts have the same x values."""
    whole = parts
    parts = [Series(p.name, p.style, stretch_means(p.points, 250)) for p in parts if p.points]
    if not parts or len({len(p.points) for p in parts}) != 1:
        return None
    edges = _edges(parts)
    x = step_scale([p[0] for p in edges[0]], float(LEFT + 4), float(WIDTH - RIGHT - 4))
    y = value_scale([p[1] for p in edges[-1]], float(HEIGHT - BOTTOM), float(TOP), zero=True)
    body = axes(x, y, x_title, y_title)
    own = {part.name: readable(_spread_out(part.points)) for part in whole if part.points}
    for part, below, above in zip(parts, edges, edges[1:], strict=False):
        ring = [*above, *reversed(below)]
        if len(above) == 1:
            (at, low), (_, high) = below[0], above[0]
            ring = [(at - 0.4, low), (at + 0.4, low), (at + 0.4, high), (at - 0.4, high)]
        d = "M" + "L".join(f"{px(x(a))},{px(y(b))}" for a, b in ring) + "Z"
        steps, values = own[part.name]
        style = f"area {part.style}"
        body.append(el("path", class_=style, d=d, data_name=part.name, data_at=steps, data_own=values))
    body += drawn_stages(x, marks)
    stages = marks.as_json() if marks.stages else None
    drawn = el("g", *body, class_="plot", data_x=_data(x), data_y=_data(y), data_title=x_title, data_stages=stages)
    legend = [Key(p.name, p.style, "area") for p in parts]
    return sheet.figure(title, _describe(y_title, parts), [drawn], legend, as_grid(x_title, parts))


def _spread_out(points: list[Point]) -> list[Point]:
    """At most POINTS of the points, evenly spread, so that all parts are read at the same steps."""
    return [points[k * (len(points) - 1) // (POINTS - 1)] for k in range(POINTS)] if len(points) > POINTS else points


def _edges(parts: list[Series]) -> list[list[Point]]:
    """The lines between the areas, the zero line first."""
    edges = [[(x, 0.0) for x, _ in parts[0].points]]
    for part in parts:
        edges.append([(x, low + y) for (x, low), (_, y) in zip(edges[-1], part.points, strict=True)])
    return edges


def _describe(y_title: str, parts: list[Series]) -> str:
    means = [(p.name, sum(y for _, y in p.points) / len(p.points)) for p in parts]
    return f"{y_title}, mean per step: " + ", ".join(f"{name} {decimal(mean)}" for name, mean in means) + "."
