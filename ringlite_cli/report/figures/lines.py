"""Curves over steps or epochs: lines, moving means, intervals, a shaded band and a marked point."""

from dataclasses import dataclass, replace

from markupsafe import Markup

from ringlite_cli.report.figures.marks import NO_MARKS, Marks, cut_up, drawn_limits, drawn_stages, readable
from ringlite_cli.report.figures.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Figure,
    Grid,
    Key,
    Scale,
    Sheet,
    axes,
    el,
    px,
    step_scale,
    value_scale,
)
from ringlite_cli.report.figures.thin import Point, running_median, smooth, smoothing_window, stretches, thin
from ringlite_cli.report.files import Interval
from ringlite_cli.report.words import decimal

GRID_ROWS = 20
"""The most rows of a figure's table."""
_READ = 12
"""The most scattered points that a description reads out."""
_ROOM = 20.0
"""What a point's word needs beside the one before it."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. kind: line (a long one faint, with its moving mean), mean (a long one's moving mean alone), plain,
    dash, dots (markers joined by a line), or points (markers alone). On a log scale the moving mean is a moving median.

    intervals: one (low, high) or None per point, drawn as whiskers. spread: the same, drawn as a band behind the curve.
    style: a colour class; "" takes the colour of the stage that a point stands in (see Marks).
    """

    name: str
    style: str
    points: list[Point]
    kind: str = "line"
    intervals: list[Interval | None] | None = None
    spread: list[Interval] | None = None


def lines(
    sheet: Sheet,
    title: str,
    x_title: str,
    y_title: str,
    series: list[Series],
    *,
    zero: bool = False,
    log: bool = False,
    band: Interval | None = None,
    band_axis: str = "y",
    band_word: str = "band",
    pick: Point | None = None,
    pick_word: str = "pick",
    labels: list[str] | None = None,
    even: bool = True,
    marks: Marks = NO_MARKS,
) -> Figure | None:
    """A panel of curves, or None where no curve has a point.

    band: a shaded interval on `band_axis`. pick: the point with a ring and the word `pick_word`. labels: one text per
    point of the first curve. even: x runs from the first to the last step; else with some room (scatter).
    marks: the stages that x runs through, and limits. A curve is drawn and smoothed stage by stage.
    """
    series = [s for s in series if s.points]
    if not series:
        return None
    x_values, y_values = _extent(series, band, band_axis)
    y_values += marks.limits_near(max(y_values))
    log = log and min(y_values) > 0 and max(y_values) / min(y_values) > 30
    floor = float(HEIGHT - BOTTOM)
    x = (step_scale if even else value_scale)(x_values, float(LEFT + 4), float(WIDTH - RIGHT - 4))
    y = value_scale(y_values, floor, float(TOP), zero=zero, log=log)
    body = _band(x, y, band, band_axis, band_word) if band else []
    body += axes(x, y, x_title, y_title + (" (log scale)" if log else ""))
    body += drawn_limits(x, y, marks) + drawn_stages(x, marks)
    for each in series:
        for part in _by_stage(each, marks):
            body += _curve(x, y, part)
    body += _labels(x, y, series[0].points, labels) if labels else []
    body += _pick(x, y, pick, pick_word) if pick else []
    stages = marks.as_json() if marks.stages else None
    plot = el("g", *body, class_="plot", data_x=_data(x), data_y=_data(y), data_title=x_title, data_stages=stages)
    legend = [Key(s.name, s.style or marks.style_at(s.points[0][0]), s.kind) for s in series]
    return sheet.figure(title, _describe(x_title, y_title, series), [plot], legend, as_grid(x_title, series))


def _by_stage(series: Series, marks: Marks) -> list[Series]:
    """Return the curve in pieces, one for each stage that it runs through, in that stage's colour where it has none."""
    if not marks.stages:
        return [series]
    return [
        replace(series, points=points, style=series.style or style, spread=None)
        for points, style in cut_up(series.points, marks)
    ]


def _extent(series: list[Series], band: Interval | None, band_axis: str) -> tuple[list[float], list[float]]:
    x_values = [p[0] for s in series for p in s.points]
    y_values = [p[1] for s in series for p in s.points]
    y_values += [end for s in series for ends in (*(s.intervals or ()), *(s.spread or ())) if ends for end in ends]
    if band:
        (x_values if band_axis == "x" else y_values).extend(band)
    return x_values, y_values


def _data(scale: Scale) -> str:
    """Return what the page's script needs to turn a coordinate back into a value."""
    return f"{scale.lo:.8g} {scale.hi:.8g} {px(scale.start)} {px(scale.end)} {int(scale.log)}"


def _curve(x: Scale, y: Scale, series: Series) -> list[Markup]:
    window = smoothing_window(len(series.points)) if series.kind in ("line", "mean") else 1
    drawn = _spread(x, y, series)
    if series.kind != "points" and (window == 1 or series.kind == "line"):
        drawn.append(
            _path(x, y, series, thin(series.points), "faint" if window > 1 else series.kind, named=window == 1)
        )
    if window > 1:
        steady = (running_median if y.log else smooth)(series.points, window)
        drawn.append(_path(x, y, series, thin(steady), "line", named=True))
    if series.kind in ("dots", "points") or len(series.points) == 1:
        for point, ends in zip(series.points, series.intervals or [None] * len(series.points), strict=True):
            drawn += _marker(x, y, series.style, point, ends)
    return drawn


def _spread(x: Scale, y: Scale, series: Series) -> list[Markup]:
    """The band behind a curve, from the lowest to the highest of what it is the mean of."""
    if not series.spread or len(series.points) < 2:
        return []
    pairs = list(zip(series.points, series.spread, strict=True))
    ring = [(a, high) for (a, _), (_, high) in pairs] + [(a, low) for (a, _), (low, _) in reversed(pairs)]
    d = "M" + "L".join(f"{px(x(a))},{px(y(b))}" for a, b in ring) + "Z"
    return [el("path", class_=f"spread {series.style}", d=d)]


def _path(x: Scale, y: Scale, series: Series, points: list[Point], kind: str, *, named: bool) -> Markup:
    """A curve. The named one of a series carries its points' own values, which a pointer reads."""
    d = "M" + "L".join(f"{px(x(a))},{px(y(b))}" for a, b in points)
    style = f"curve {kind} {series.style}"
    if not named:
        return el("path", class_=style, d=d)
    at, own = readable(thin(series.points))
    return el("path", class_=style, d=d, data_name=series.name, data_at=at, data_own=own)


def _marker(x: Scale, y: Scale, style: str, point: Point, ends: Interval | None) -> list[Markup]:
    at = x(point[0])
    whisker = [el("line", class_=f"whisker {style}", x1=at, x2=at, y1=y(ends[0]), y2=y(ends[1]))] if ends else []
    return [*whisker, el("circle", class_=f"dot {style}", cx=at, cy=y(point[1]), r=3.5)]


def _band(x: Scale, y: Scale, band: Interval, axis: str, band_word: str) -> list[Markup]:
    lo, hi = band
    if axis == "x":
        box = {"x": x(lo), "width": x(hi) - x(lo), "y": float(TOP), "height": float(HEIGHT - BOTTOM - TOP)}
    else:
        box = {"x": float(LEFT), "width": float(WIDTH - RIGHT - LEFT), "y": y(hi), "height": y(lo) - y(hi)}
    # Entropy falls and scores rise as SFT goes on: the word stands where neither curve ends.
    word_at = (x(lo) + 4, HEIGHT - BOTTOM - 5.0) if axis == "x" else (LEFT + 8.0, y(hi) + 12)
    word = el("text", band_word, class_="tick band-word", x=word_at[0], y=word_at[1])
    return [el("rect", class_="band", **box), word]


def _pick(x: Scale, y: Scale, pick: Point, word: str) -> list[Markup]:
    at, up = x(pick[0]), y(pick[1])
    side = "end" if at > WIDTH * 0.75 else ""
    return [
        el("circle", class_="pick", cx=at, cy=up, r=7.5),
        el("text", word, class_=f"tick strong {side}", x=at + (-11 if side else 11), y=up - 7),
    ]


def _labels(x: Scale, y: Scale, points: list[Point], labels: list[str]) -> list[Markup]:
    """A word below each point, above it where the axis is below; none where it would cover the one before."""
    drawn: list[Markup] = []
    last: Point | None = None
    for (a, b), word in zip(points, labels, strict=False):
        at, up = x(a), y(b) + (16 if y(b) < HEIGHT - BOTTOM - 18 else -8)
        if last is None or abs(at - last[0]) > _ROOM or abs(up - last[1]) > _ROOM / 2:
            drawn.append(el("text", word, class_="tick mid", x=at, y=up))
            last = (at, up)
    return drawn


def _describe(x_title: str, y_title: str, series: list[Series]) -> str:
    """Return what the curves show, in words: where each starts and ends, and its range."""
    said = []
    for each in series:
        if each.kind == "points":
            said.append(
                f"{each.name}: " + ", ".join(f"{decimal(b)} at {decimal(a)}" for a, b in each.points[:_READ]) + "."
            )
            continue
        first, last = each.points[0], each.points[-1]
        values = [p[1] for p in each.points]
        said.append(
            f"{each.name}: {decimal(first[1])} at {decimal(first[0])}, {decimal(last[1])} at {decimal(last[0])}, "
            f"lowest {decimal(min(values))}, highest {decimal(max(values))}."
        )
    return f"{y_title} over {x_title}. " + " ".join(said)


def as_grid(x_title: str, series: list[Series]) -> Grid:
    """A row per point; of curves with many, of which all have the same steps, the mean of each stretch."""
    x_values = [[x for x, _ in s.points] for s in series]
    if len(x_values[0]) > GRID_ROWS and all(values == x_values[0] for values in x_values):
        parts = [stretches(s.points, GRID_ROWS) for s in series]
        rows = [
            [f"{_place(same[0][0])} – {_place(same[0][1])}", *(decimal(y) for _, _, y in same)]
            for same in zip(*parts, strict=True)
        ]
        return Grid([f"{x_title} (means)", *(s.name for s in series)], rows)
    at = [dict(s.points) for s in series]
    places = list(dict.fromkeys(x for values in x_values for x in values))
    shown = [places[k * (len(places) - 1) // (GRID_ROWS - 1)] for k in range(GRID_ROWS)]
    rows = [
        [_place(x), *(decimal(values.get(x)) for values in at)]
        for x in sorted(places if len(places) <= GRID_ROWS else dict.fromkeys(shown))
    ]
    return Grid([x_title, *(s.name for s in series)], rows)


def _place(x: float) -> str:
    """A step without decimals; what is no whole number with three digits."""
    return f"{x:g}" if x == int(x) and abs(x) < 1e9 else decimal(x)
