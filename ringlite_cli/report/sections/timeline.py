"""One timeline over all RL stages: every curve from the first step of the first to the last step of the last."""

import math
from collections.abc import Iterator, Sequence

from ringlite_cli.report.figures import Figure, Limit, Marks, Part, Series, lines, stack
from ringlite_cli.report.figures.thin import Point
from ringlite_cli.report.files import Interval, JsonRow, mapping, num, number
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.common import points
from ringlite_cli.report.sections.selection import choice_of
from ringlite_cli.runs.catalogue.columns import ByName, Panel
from ringlite_cli.runs.catalogue.own import own_panels, read_own
from ringlite_cli.runs.catalogue.panels import PHASES, RL_BUDGET, RL_BY_NAME, RL_HEALTH, RL_LEARNING

Timeline = Sequence[tuple[Stage, Part]]
_LIMITS = {
    "entropy": (("entropy", "low", "guard: at least"), ("entropy", "high", "guard: at most")),
    "engine_mismatch": (("mismatch", "above", "guard: at most"),),
    "mismatch_masked": (("mismatch", "masked", "guard: at most"),),
}
"""Metric -> the guard's rules that hold a limit for it: (rule, key, words)."""


def timeline(run: Run, pens: Pens) -> Timeline:
    """Return the RL stages that have steps, each with its place on the common axis."""
    found, offset = [], 0
    for stage in run.of("rl"):
        steps = [step for row in stage.metrics if (step := num(row, "step")) is not None]
        if steps and max(steps) < 1e9:
            length = max(1, math.ceil(max(steps)))
            found.append((stage, Part(stage.name, pens.palette.policy(stage.name)[0], offset, length)))
            offset += length
    return found


def figures(run: Run, on: Timeline, pens: Pens) -> tuple[list[Figure | None], list[Figure | None]]:
    """Return the figures that everybody looks at, and the rest."""
    reward, *others = RL_LEARNING
    band = next((choice.band for stage in run.of("select") if (choice := choice_of(stage)).band), None)
    named = [_by_name(on, pens, each) for each in RL_BY_NAME]
    first = [
        _panel(on, reward, pens),
        *named,
        *(_panel(on, each, pens, band) for each in others),
    ]
    own = {panel.title: panel for stage, _ in on for panel in own_panels(read_own(stage.folder))}
    rest = [*RL_HEALTH, *own.values()]
    budget = [_panel(on, each, pens) for each in RL_BUDGET]
    return [*first, *budget], [_step_time(on, pens), *(_panel(on, each, pens) for each in rest)]


def axis(on: Timeline) -> str:
    return "RL step, all stages" if len(on) > 1 else "step"


def _panel(on: Timeline, drawn: Panel, pens: Pens, band: Interval | None = None) -> Figure | None:
    """Draw a panel of the catalogue over all stages. band: of the pick's entropy, drawn behind the entropy."""
    curves = [Series(c.label, c.style, _points(on, c.key), c.kind) for c in drawn.curves]
    keys = {c.key for c in drawn.curves}
    limits = [limit for key in keys for limit in _limits(on, key)]
    if "truncated_fraction" in keys:
        limits += list(_guard_limits(on, "length", "truncated", "guard: truncated at most"))
    return lines(
        pens.sheet,
        drawn.title,
        axis(on),
        drawn.unit,
        curves,
        zero=drawn.zero,
        log=drawn.log,
        band=band if "entropy" in keys else None,
        band_word="band of the pick",
        marks=Marks([part for _, part in on], limits),
    )


def _points(on: Timeline, key: str) -> list[Point]:
    return [(part.offset + x, y) for stage, part in on for x, y in points(stage.metrics, key)]


def _limits(on: Timeline, key: str) -> Iterator[Limit]:
    for rule, name, words in _LIMITS.get(key, ()):
        yield from _guard_limits(on, rule, name, words)


def _guard_limits(on: Timeline, rule: str, name: str, words: str) -> Iterator[Limit]:
    """Yield a limit for each stage whose guard sets one that a run can break (0 and 1 are no limits)."""
    for stage, part in on:
        guard = mapping(mapping(stage.manifest, "recipe"), "guard")
        value = num(mapping(guard, rule), name)
        if value and not (name in ("truncated", "masked") and value >= 1):
            yield Limit(value, part.offset + 1, part.offset + part.steps, words)


def _by_name(on: Timeline, pens: Pens, drawn: ByName) -> Figure | None:
    """A curve per domain or verifier."""
    found: dict[str, list[Point]] = {}
    for stage, part in on:
        for row in stage.metrics:
            step = num(row, "step")
            for name, value in mapping(row, drawn.key).items():
                reward = number(value)
                if step is not None and reward is not None:
                    found.setdefault(name, []).append((part.offset + step, reward))
    if len(found) < drawn.least:
        return None
    series = [Series(name, pens.palette.domain(name), found[name], drawn.kind) for name in sorted(found)]
    marks = Marks([part for _, part in on])
    return lines(pens.sheet, drawn.title, axis(on), drawn.unit, series, zero=True, marks=marks)


def _step_time(on: Timeline, pens: Pens) -> Figure | None:
    parts = [_times(stage.metrics, part.offset) for stage, part in on]
    joined = [
        Series(each[0].name, each[0].style, [p for one in each for p in one.points])
        for each in zip(*parts, strict=True)
    ]
    marks = Marks([part for _, part in on])
    return stack(pens.sheet, "Step time", axis(on), "s per step", joined, marks) if joined else None


def _times(rows: list[JsonRow], offset: int) -> list[Series]:
    """Rollout, reward, update, and what is left of the step; rows that lack one of them are left out."""
    whole = [r for r in rows if num(r, "step") is not None and all(num(r, f"{n}_seconds") is not None for n in PHASES)]
    parts = [Series(n, f"c-{n}", [(offset + x, y) for x, y in points(whole, f"{n}_seconds")]) for n in PHASES]
    rest = []
    for k, row in enumerate(whole):
        total = num(row, "step_seconds")
        used = sum(part.points[k][1] for part in parts)
        rest.append((offset + (num(row, "step") or 0.0), max((total or used) - used, 0.0)))
    return [*parts, Series("other", "c-other", rest)]
