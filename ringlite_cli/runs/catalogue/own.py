"""Metrics of the user's own: what an algorithm or a reward of theirs measures, described beside the stage's rows.

The stage writes `columns.json` into its folder; `ringlite status`, the report and `ringlite compare` read it there, so
they need neither the recipe nor the user's code.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from ringlite_cli.errors import UserError
from ringlite_cli.runs.catalogue.columns import Curve, Metric, Panel, Reduced
from ringlite_cli.runs.files import write_json

FILE = "columns.json"


def check_own(metrics: Iterable[Metric], taken: Iterable[str], where: str) -> tuple[Metric, ...]:
    """Return the metrics. Raises UserError for what is no Metric, and for a key that another column has."""
    found: dict[str, Metric] = {}
    for each in metrics:
        if not isinstance(each, Metric):
            raise UserError(
                f"{each!r} is no Metric", where=where, hint="make a ringlite_cli.runs.catalogue.columns.Metric of it"
            )
        if each.key in taken or found.get(each.key, each) != each:
            raise UserError(f"another column is called {each.key!r} already", where=where, hint="name it otherwise")
        found[each.key] = each
    return tuple(found.values())


def write_own(folder: Path, metrics: Iterable[Metric]) -> None:
    """Describe a stage's own metrics beside its rows; without any, take the description of an earlier run away."""
    rows = [asdict(metric) for metric in metrics]
    if rows:
        write_json(folder / FILE, rows)
    else:
        (folder / FILE).unlink(missing_ok=True)


def read_own(folder: Path) -> tuple[Metric, ...]:
    """Return the own metrics of a stage's folder; () where it has none, or their description cannot be read."""
    try:
        rows = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return tuple(metric for row in rows if (metric := _read(row)) is not None)
    except (OSError, ValueError, TypeError, RecursionError):
        return ()


def _read(row: Any) -> Metric | None:
    try:
        metric = Metric(**row)
    except TypeError:
        return None
    texts = (metric.key, metric.name, metric.unit, metric.meaning)
    sound = all(isinstance(text, str) for text in texts) and metric.reduced in get_args(Reduced)
    return metric if sound else None


def own_panels(metrics: Iterable[Metric]) -> tuple[Panel, ...]:
    """Return a figure for each metric."""
    return tuple(Panel(m.name, m.unit, (Curve(m.key, m.name),)) for m in metrics)


def means(numbers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return each key's mean over those that have it."""
    values: dict[str, list[float]] = {}
    for each in numbers:
        for key, value in each.items():
            values.setdefault(key, []).append(value)
    return {key: sum(found) / len(found) for key, found in values.items()}


def as_shown(metric: Metric) -> Metric:
    """Return an own metric with the marks of one that status and the report's table show: they are few."""
    return replace(metric, status=True, table=True)
