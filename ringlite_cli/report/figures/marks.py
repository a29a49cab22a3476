"""What is marked in a figure of curves: the stages that x runs through, limits, and the values that a pointer reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ringlite_cli.report.figures.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, el
from ringlite_cli.report.figures.thin import Point
from ringlite_cli.report.words import clipped

_FAR = 3.0
"""A limit above this many times the highest value is named at the edge: to draw it would flatten the curve."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stage on the x axis: its steps 1 to `steps` stand at `offset` + 1 and on. style: its colour class."""

    name: str
    style: str
    offset: int
    steps: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A level that a curve should keep to, over the steps from `start` to `end` of the x axis."""

    value: float
    start: float
    end: float
    word: str


@dataclass(frozen=True, slots=True)
class Marks:
    stages: Sequence[Part] = ()
    limits: Sequence[Limit] = ()

    def limits_near(self, highest: float) -> list[float]:
        """Return the limits that are drawn: those not far above the highest value."""
        return [limit.value for limit in self.limits if not _is_far(limit, highest)]

    def style_at(self, x: float) -> str:
        """Return the colour class of the stage that x stands in."""
        return next((part.style for part in reversed(self.stages) if x > part.offset), "")

    def as_json(self) -> str:
        """Return what the page's script needs to name a stage and its own step: [[name, offset, steps], ...]."""
        return json.dumps([[part.name, part.offset, part.steps] for part in self.stages], ensure_ascii=False)


NO_MARKS = Marks()


def cut_up(points: Sequence[Point], marks: Marks) -> list[tuple[list[Point], str]]:
    """Return the points stage by stage, each with the stage's colour; stages without a point are left out."""
    found = []
    for part in marks.stages:
        mine = [p for p in points if part.offset < p[0] <= part.offset + part.steps]
        if mine:
            found.append((mine, part.style))
    return found


def drawn_stages(x: Scale, marks: Marks) -> list[Markup]:
    """A border and a name where each of several stages begins."""
    drawn: list[Markup] = []
    for number, part in enumerate(marks.stages if len(marks.stages) > 1 else ()):
        at = max(x(part.offset + 0.5), float(LEFT)) if number else float(LEFT)
        room = (x(part.offset + part.steps) - at) / 5.6
        if number:
            drawn.append(el("line", class_="border", x1=at, x2=at, y1=float(TOP), y2=float(HEIGHT - BOTTOM)))
        if room >= 4:
            drawn.append(el("text", clipped(part.name, int(room)), class_="tick stage", x=at + 3, y=TOP + 7.0))
    return drawn


def drawn_limits(x: Scale, y: Scale, marks: Marks) -> list[Markup]:
    """A dashed line at each limit, and its word; of one far above the curve, its word with its value."""
    drawn: list[Markup] = []
    said: set[tuple[str, float]] = set()
    for limit in marks.limits:
        far = not min(y.lo, y.hi) <= limit.value <= max(y.lo, y.hi)
        at = TOP + 4.0 if far else y(limit.value)
        if not far:
            span = {"x1": x(limit.start), "x2": x(limit.end)}
            drawn.append(el("line", class_="limit", **span, y1=at, y2=at))
        if (limit.word, limit.value) in said:
            continue
        said.add((limit.word, limit.value))
        word = f"{limit.word} {limit.value:g}" + (" ↑" if far else "")
        drawn.append(el("text", word, class_="tick end limit-word", x=float(WIDTH - RIGHT), y=at + (14 if far else -3)))
    return drawn


def readable(points: Sequence[Point]) -> tuple[str, str]:
    """Return the points' places and their own values as two lists of words, for the page's script."""
    return " ".join(f"{x:.8g}" for x, _ in points), " ".join(f"{y:.5g}" for _, y in points)


def _is_far(limit: Limit, highest: float) -> bool:
    return limit.value > _FAR * max(highest, 0.0)
