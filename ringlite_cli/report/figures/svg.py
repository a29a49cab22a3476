"""The frame of a figure: scales, ticks, axes, and SVG elements with every value escaped."""

import math
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from ringlite_cli.report.words import MINUS

WIDTH, HEIGHT = 400, 236
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 36


@dataclass(frozen=True, slots=True)
class Key:
    """A legend entry. `style` is a colour class, `kind` one of line, dash, faint, area, dot."""

    name: str
    style: str
    kind: str = "line"


@dataclass(frozen=True, slots=True)
class Grid:
    """What a figure shows, as a table: a row per step, bar or whisker; the first cell names it."""

    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG with its title, legend, the description that a screen reader gives, and its numbers as a table."""

    id: str
    title: str
    svg: Markup
    grid: Grid
    legend: list[Key] = field(default_factory=list)


class Sheet:
    """Hands out the ids of one page's figures: fig-1, fig-2, ..."""

    def __init__(self) -> None:
        self._given = 0

    def figure(
        self,
        title: str,
        describe: str,
        body: list[Markup],
        legend: list[Key],
        grid: Grid,
        *,
        height: int = HEIGHT,
        width: int = WIDTH,
    ) -> Figure:
        """Close a panel. `describe` is read out in place of the drawing; the title labels it from the caption."""
        self._given += 1
        name = f"fig-{self._given}"
        svg = el(
            "svg",
            el("desc", describe, id=f"{name}-desc"),
            *body,
            viewBox=f"0 0 {width} {height}",
            role="img",
            aria_labelledby=f"{name}-title",
            aria_describedby=f"{name}-desc",
        )
        return Figure(name, title, svg, grid, legend if len(legend) > 1 else [])


def el(tag: str, *inner: str | Markup, **attributes: object) -> Markup:
    """An element; text and attribute values are escaped, `aria_x` becomes aria-x, `class_` class, None is left out."""
    named = ((k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None)
    head = "".join(f' {k}="{escape(px(v) if isinstance(v, float) else v)}"' for k, v in named)
    return Markup(f"<{tag}{head}>{''.join(escape(part) for part in inner)}</{tag}>")


def px(value: float) -> str:
    """A coordinate with one decimal, without a trailing zero."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values in [lo, hi] to coordinates in [start, end]; log=True does so in logarithms (lo > 0)."""

    lo: float
    hi: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        lo, hi = (math.log(self.lo), math.log(self.hi)) if self.log else (self.lo, self.hi)
        at = math.log(max(value, self.lo)) if self.log else value
        return self.start + (at - lo) / (hi - lo) * (self.end - self.start)

    def ticks(self, about: int = 4) -> list[float]:
        return _log_ticks(self.lo, self.hi) if self.log else _even_ticks(self.lo, self.hi, about)


def value_scale(values: list[float], start: float, end: float, *, zero: bool = False, log: bool = False) -> Scale:
    """A scale that holds all values, with some room; `zero` starts it at 0. Works for none and for equal values."""
    lo, hi = (min(values), max(values)) if values else (0.0, 1.0)
    if log:
        lo, hi = lo / 1.15, hi * 1.15
        return Scale(lo, hi if hi > lo else lo * 10, start, end, log=True)
    if zero:
        lo = min(lo, 0.0)
        return Scale(lo, hi + 0.06 * (hi - lo) if hi > lo else lo + 1.0, start, end)
    room = 0.08 * (hi - lo) or abs(hi) * 0.1 or 0.5
    return Scale(max(0.0, lo - room) if lo >= 0 else lo - room, hi + room, start, end)


def step_scale(values: list[float], start: float, end: float) -> Scale:
    """A scale from the first to the last step, without room at the ends."""
    lo, hi = (min(values), max(values)) if values else (0.0, 1.0)
    return Scale(lo, hi, start, end) if hi > lo else Scale(lo - 1, hi + 1, start, end)


def _even_ticks(lo: float, hi: float, about: int) -> list[float]:
    rough = (hi - lo) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999), 10 * power)
    first, last = math.ceil(lo / step - 1e-9), math.floor(hi / step + 1e-9)
    return [k * step for k in range(first, min(last, first + 20) + 1)]


def _log_ticks(lo: float, hi: float) -> list[float]:
    powers = range(math.floor(math.log10(lo)), math.ceil(math.log10(hi)) + 1)
    found = [10.0**p for p in powers if lo <= 10.0**p <= hi]
    if len(found) < 2:
        found = [m * 10.0**p for p in powers for m in (1, 2, 5) if lo <= m * 10.0**p <= hi]
    return found[:: max(1, math.ceil(len(found) / 6))]


def tick_text(value: float) -> str:
    """A tick's label: 0.05, 1.5, 20k, 3M, 1e-05."""
    if value == 0 or abs(value) < 1e-12:
        return "0"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:g}{unit}".replace("-", MINUS)
    return f"{value:.4g}".replace("-", MINUS)


def axes(x: Scale, y: Scale, x_title: str, y_title: str, height: int = HEIGHT) -> list[Markup]:
    """Horizontal grid lines with labels, the x axis with ticks, and both titles with their units."""
    floor = height - BOTTOM
    parts = [el("text", y_title, class_="axis", x=0.0, y=11.0)]
    for value in y.ticks():
        at = y(value)
        parts.append(el("line", class_="grid", x1=float(LEFT), x2=float(WIDTH - RIGHT), y1=at, y2=at))
        parts.append(el("text", tick_text(value), class_="tick end", x=LEFT - 6.0, y=at + 3.5))
    parts.append(el("line", class_="base", x1=float(LEFT), x2=float(WIDTH - RIGHT), y1=float(floor), y2=float(floor)))
    for value in x.ticks(5):
        parts.append(el("text", tick_text(value), class_="tick mid", x=x(value), y=floor + 14.0))
    parts.append(el("text", x_title, class_="axis end", x=float(WIDTH - RIGHT), y=height - 5.0))
    return parts
