"""What two runs took and how they were made: metrics of their training, costs by stage and by policy, recipe keys."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.renamed import with_new_names
from ringlite_cli.report.files import num, numbers
from ringlite_cli.runs.catalogue import OF_STAGE, TOTALS, of_stage
from ringlite_cli.runs.catalogue.columns import Metric
from ringlite_cli.runs.catalogue.tenths import mean_of, tenths
from ringlite_cli.runs.files import read_json, read_jsonl

Manifests = Mapping[str, dict[str, Any]]
"""Stage -> its manifest."""


def manifests_of(run: Path) -> Manifests:
    """Stage -> manifest, of those that can be read; of its tokens and seconds what is a number."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(run.glob("*/manifest.json")):
        try:
            manifest = read_json(file)
        except ValueError:
            continue
        if isinstance(manifest, dict):
            counted = {"tokens": numbers(manifest.get("tokens")), "seconds": num(manifest, "seconds")}
            found[str(manifest.get("stage") or file.parent.name)] = manifest | counted
    return found


def training(a: tuple[Path, Mapping[str, Any]], b: tuple[Path, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the last tenth of the steps of each training stage that both runs have; None where one lacks it."""
    rows = []
    for stage in (name for name in a[1] if name in b[1]):
        kind = a[1][stage].get("kind")
        if kind not in OF_STAGE or b[1][stage].get("kind") != kind:
            continue
        shown = {m.key: m for folder in (a[0], b[0]) for m in of_stage(kind, folder / stage) if m.status}
        means_a, means_b = (_last_tenth(folder / stage / "metrics.jsonl", shown.values()) for folder in (a[0], b[0]))
        for key, known in shown.items():
            a_mean, b_mean = means_a.get(key), means_b.get(key)
            if a_mean is not None or b_mean is not None:
                rows.append({"stage": stage, "metric": known.name, "unit": known.unit, "a": a_mean, "b": b_mean})
    return rows


def _last_tenth(file: Path, shown: Iterable[Metric]) -> dict[str, float]:
    _, last = tenths(read_jsonl(file) if file.is_file() else [])
    return {metric.key: value for metric in shown if (value := mean_of(metric, last)) is not None}


def stage_costs(a: Manifests, b: Manifests) -> list[dict[str, Any]]:
    """What each stage of either run took; None for the run that lacks it."""
    return [
        {"stage": stage, **row}
        for stage in dict.fromkeys([*a, *b])
        for row in _rows(a.get(stage, {}), b.get(stage, {}))
    ]


def policy_costs(names: tuple[str, str], a: Manifests, b: Manifests) -> list[dict[str, Any]]:
    """What it took to make a policy: the sums over its stage and all stages that it came from.

    A policy that is no stage of its run (the base model) took nothing there, and has no row.
    """
    made_of = [sources(name, side) for name, side in zip(names, (a, b), strict=True)]
    sums = []
    for stages, side in zip(made_of, (a, b), strict=True):
        total: dict[str, Any] = {"tokens": {}, "seconds": 0.0}
        for stage in stages:
            total["seconds"] += float(side[stage].get("seconds") or 0.0)
            for name, count in (side[stage].get("tokens") or {}).items():
                total["tokens"][name] = total["tokens"].get(name, 0) + count
        sums.append(total if stages else {})
    name = names[0] if names[0] == names[1] else f"{names[0]} / {names[1]}"
    return [{"policy": name, **row} for row in _rows(*sums)]


def sources(policy: str, manifests: Manifests) -> list[str]:
    """Return the stages that made a policy: its own, and by their manifests all that they read from."""
    found: list[str] = []
    waiting = [policy]
    while waiting:
        name = waiting.pop()
        if name in manifests and name not in found:
            found.append(name)
            parent = manifests[name].get("parent")
            waiting += [each for each in parent if isinstance(each, str)] if isinstance(parent, list) else []
    return found


def unshared_stages(a: tuple[str, Manifests], b: tuple[str, Manifests]) -> list[str]:
    """Say which stages only one of the runs has: their keys are no difference of the recipes."""
    notes = []
    for (name, mine), (_, theirs) in ((a, b), (b, a)):
        if alone := [stage for stage in mine if stage not in theirs]:
            notes.append(f"only {name} has the stages {', '.join(alone)}: their keys are not compared")
    return notes


def _rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    costs_a, costs_b = _costs(a), _costs(b)
    return [
        {"cost": name, "unit": unit, "a": costs_a.get((name, unit)), "b": costs_b.get((name, unit))}
        for name, unit in dict.fromkeys([*costs_a, *costs_b])
    ]


def _costs(manifest: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """(name, unit) -> how much of it: the tokens that a manifest counts, and its time at work."""
    tokens = {
        (TOTALS.get(name, f"tokens {name}"), "tokens"): float(n) for name, n in (manifest.get("tokens") or {}).items()
    }
    return tokens | ({("time at work", "s"): float(manifest["seconds"])} if manifest.get("seconds") else {})


def recipe_differences(a: Manifests, b: Manifests) -> list[dict[str, Any]]:
    """The recipe keys, with the seed, that differ in the stages that both runs have."""
    shared = [stage for stage in a if stage in b]
    keys_a, keys_b = (_keys({stage: side[stage] for stage in shared}) for side in (a, b))
    rows = []
    for key in dict.fromkeys([*keys_a, *keys_b]):
        value_a, value_b = keys_a.get(key, "-"), keys_b.get(key, "-")
        if value_a != value_b:
            rows.append({"key": key, "a": value_a, "b": value_b})
    return rows


def _keys(manifests: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Every recipe key of a run, dotted, with the seed."""
    seeds = {f"{stage}.seed": manifest.get("seed") for stage, manifest in manifests.items()}
    return seeds | {k: v for stage, m in manifests.items() for k, v in _flat(stage, m.get("recipe")).items()}


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    if not isinstance(value, dict):
        return {name: value}
    return {key: v for inner, x in with_new_names(value).items() for key, v in _flat(f"{name}.{inner}", x).items()}
