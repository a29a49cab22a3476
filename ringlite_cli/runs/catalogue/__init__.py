"""Every metric that a training stage writes, once: its name, its unit, how it is reduced, and where it is drawn.

The trainer, the guard, `ringlite status`, the report, `ringlite compare` and docs/metrics.md read this file.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.runs.catalogue.columns import Metric, Panel
from ringlite_cli.runs.catalogue.metrics import REWARD_MODEL, RL, SFT
from ringlite_cli.runs.catalogue.own import read_own
from ringlite_cli.runs.catalogue.panels import REWARD_MODEL_PANELS, RL_BUDGET, RL_HEALTH, RL_LEARNING, SFT_PANELS

OF_STAGE: Mapping[str, tuple[Metric, ...]] = {"sft": SFT, "reward-model": REWARD_MODEL, "rl": RL}
PANELS: Mapping[str, tuple[Panel, ...]] = {
    "sft": SFT_PANELS,
    "reward-model": REWARD_MODEL_PANELS,
    "rl": (*RL_LEARNING, *RL_BUDGET, *RL_HEALTH),
}
TOTALS: Mapping[str, str] = {
    "trained": "tokens trained",
    "generated": "tokens generated",
    "kept": "tokens kept",
    "dropped": "tokens dropped",
}
"""Totals in a manifest's `tokens`, by what readers call them."""


_OLD_KEYS = {metric.key: metric.was for metrics in OF_STAGE.values() for metric in metrics if metric.was}


def of_stage(kind: str, folder: Path) -> tuple[Metric, ...]:
    """Return the metrics of a stage in a run: the catalogue's, and those of the user's own that it describes."""
    return (*OF_STAGE[kind], *read_own(folder))


def keys(kind: str, **flags: bool) -> tuple[str, ...]:
    """Return the keys of a stage kind's metrics, in the catalogue's order, that have all the given flags.

    >>> keys("rl", status=True)[:2]
    ('reward', 'kl')
    """
    return tuple(m.key for m in OF_STAGE[kind] if all(getattr(m, name) == value for name, value in flags.items()))


_RACES = ("reward_overlap",)
"""Shares of what was done before something else ended: a resume verifies responses that a checkpoint carried anew."""


def timed(kind: str) -> frozenset[str]:
    """Return the keys of a stage kind's metrics that follow from the clock: they differ between runs that are equal."""
    return frozenset(m.key for m in OF_STAGE[kind] if m.reduced in ("time", "rate") or m.unit == "s" or m.key in _RACES)


def metric(kind: str, key: str) -> Metric:
    """Return a stage kind's metric by its key. Raises KeyError for a key that the catalogue lacks."""
    for found in OF_STAGE[kind]:
        if found.key == key:
            return found
    raise KeyError(key)


def mean_over_tokens() -> tuple[str, ...]:
    """Return the RL metrics that are means over the trained tokens."""
    return tuple(m.key for m in RL if m.reduced == "tokens")


def value_of(row: Mapping[str, Any], key: str) -> float | None:
    """Return a row's value as one finite number; of a metric per layer, its extreme (the least of a `_min`), or None.

    >>> value_of({"step": 3, "tokens_truncated": 17}, "tokens_cut")  # the row of an earlier version
    17.0
    """
    value = row.get(key, row.get(_OLD_KEYS.get(key, "")))
    if isinstance(value, list) and value and all(_is_number(x) for x in value):
        return float(min(value) if key.endswith("_min") else max(value))
    return float(value) if value is not None and _is_number(value) else None


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number: NaN is larger than nothing and smaller than nothing."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
