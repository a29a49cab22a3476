"""Arms of an experiment over seeds: each arm's mean and spread, and its paired difference to the first arm.

A training run is the unit: the interval of a difference is Student's t over the seeds' differences, each of which is
paired over the problems that the two runs share (`compare.py`). Problems alone would tell how sure one run's score is,
and nothing of what another seed would have given.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ringlite_cli.evals.compare import compare
from ringlite_cli.evals.eval_stages import asked_again, task_name
from ringlite_cli.runs.catalogue import value_of
from ringlite_cli.runs.catalogue.panels import ARM_PANELS
from ringlite_cli.runs.catalogue.tenths import tenths
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.runs.manifest import read_manifest

Runs = Mapping[str, Mapping[int, Path]]
"""arm -> seed -> run folder."""

ALL = "mean of tasks"
CURVES = tuple(panel.curves[0].key for panel in ARM_PANELS)


def compare_arms(runs: Runs) -> dict[str, Any]:
    """{"scores", "differences", "training", "curves", "picks"} of finished runs. Shares in [0, 1].

    scores: a row per arm, policy and task: `mean` and `sd` over seeds, `by_seed`. differences: arm minus the first
    arm, with `by_seed`, `by_seed_ci95` (over problems), `mean`, `sd`, `ci95` (over seeds; None for a single one) and a
    verdict. training: a row per arm and metric of its RL stages, one after the other.
    """
    base, *others = runs
    return {
        "scores": [row for arm, by_seed in runs.items() for row in _scores(arm, by_seed)],
        "differences": [row for arm in others for row in _differences(arm, base, runs)],
        "training": [row for arm, by_seed in runs.items() for row in _training(arm, by_seed)],
        "curves": {arm: _curves(by_seed) for arm, by_seed in runs.items()},
        "picks": [row for arm, by_seed in runs.items() for row in _picks(arm, by_seed)],
    }


def mean_over_seeds(values: Sequence[float], level: float = 0.95) -> dict[str, Any]:
    """`mean`, `sd` (n - 1) and `ci95` by Student's t; None where it is not known.

    Of a single value neither spread nor interval is known; of values all alike no interval: that a few seeds agree to
    the last problem is chance, and not a spread of 0.
    """
    from scipy.special import stdtrit

    found = np.asarray(values, dtype=np.float64)
    mean = float(found.mean())
    if len(found) < 2:
        return {"mean": mean, "sd": None, "ci95": None}
    sd = float(found.std(ddof=1))
    if sd == 0:
        return {"mean": mean, "sd": 0.0, "ci95": None}
    reach = float(stdtrit(len(found) - 1, (1 + level) / 2)) * sd / len(found) ** 0.5
    return {"mean": mean, "sd": sd, "ci95": [mean - reach, mean + reach]}


def _scores(arm: str, by_seed: Mapping[int, Path]) -> Iterable[dict[str, Any]]:
    found: dict[tuple[str, str], dict[int, float]] = {}
    for seed, run in by_seed.items():
        for policy, shares in _shares(run).items():
            if len(shares) > 1:
                shares[ALL] = float(np.mean(list(shares.values())))
            for task, share in shares.items():
                found.setdefault((policy, task), {})[seed] = share
    for (policy, task), seeds in found.items():
        yield {"arm": arm, "policy": policy, "task": task, **mean_over_seeds(list(seeds.values())), "by_seed": seeds}


def _shares(run: Path) -> dict[str, dict[str, float]]:
    """Policy -> task -> avg@k of all eval stages; a task that a policy answered in several is one for each of them."""
    by_stage = [(file.parent.name, read_json(file)) for file in sorted(run.glob("*/scores.json"))]
    again = asked_again((policy, task) for _, scores in by_stage for policy, tasks in scores.items() for task in tasks)
    found: dict[str, dict[str, float]] = {}
    for stage, scores in by_stage:
        for policy, tasks in scores.items():
            for task, score in tasks.items():
                found.setdefault(policy, {})[task_name(task, stage, again)] = score["avg@k"]
    return found


def _differences(arm: str, base: str, runs: Runs) -> Iterable[dict[str, Any]]:
    found: dict[tuple[str, str], dict[int, tuple[float, Any]]] = {}
    pairs = {seed: (runs[base][seed], runs[arm][seed]) for seed in runs[base] if seed in runs[arm]}
    same = set.intersection(*(_starts_in_common(*pair) for pair in pairs.values())) if pairs else set()
    for seed, (first, second) in pairs.items():
        rows = [row for row in compare(first, second)["scores"] if row["policy"] not in same]
        for row in rows:
            found.setdefault((row["policy"], row["task"]), {})[seed] = (row["difference"], row["ci95"])
        for policy in dict.fromkeys(row["policy"] for row in rows):
            mine = [row["difference"] for row in rows if row["policy"] == policy]
            if len(mine) > 1:
                found.setdefault((policy, ALL), {})[seed] = (float(np.mean(mine)), None)
    for (policy, task), seeds in found.items():
        spread = mean_over_seeds([difference for difference, _ in seeds.values()])
        yield {
            **{"arm": arm, "against": base, "policy": policy, "task": task},
            **spread,
            "by_seed": {seed: difference for seed, (difference, _) in seeds.items()},
            "by_seed_ci95": {seed: ends for seed, (_, ends) in seeds.items()},
            "verdict": _verdict(spread["ci95"], len(seeds)),
        }


def _verdict(ends: Sequence[float] | None, seeds: int) -> str:
    if ends is None:
        return "one seed shows nothing" if seeds == 1 else "the same on every seed: no spread to judge by"
    return "better" if ends[0] > 0 else "worse" if ends[1] < 0 else "no difference shown"


def _starts_in_common(first: Path, second: Path) -> set[str]:
    """Policies before RL whose eval stage is the same work in both runs: nothing to compare.

    A policy of RL that came out the same (two rules that pick one checkpoint) is a difference of zero, and stays: to
    leave its seed out would count only the seeds on which the arms differ.
    """
    found: set[str] = set()
    for file in first.glob("*/scores.json"):
        a, b = read_manifest(file.parent), read_manifest(second / file.parent.name)
        if a is not None and b is not None and a.fingerprint == b.fingerprint:
            found |= {policy for policy in read_json(file) if not _is_by_rl(first, policy)}
    return found


def _is_by_rl(run: Path, policy: str) -> bool:
    manifest = read_manifest(run / policy)
    return manifest is not None and manifest.kind == "rl"


def _rl_rows(run: Path) -> list[dict[str, Any]]:
    """Metrics of the run's RL stages one after the other, with `at`, the step counted over all of them."""
    stages = [(m.started, file.parent) for file in run.glob("*/manifest.json") if (m := read_manifest(file.parent))
              and m.kind == "rl" and m.status == "done"]  # fmt: skip
    rows = [row for _, stage in sorted(stages) for row in read_jsonl(stage / "metrics.jsonl")]
    return [{**row, "at": at} for at, row in enumerate(rows, 1)]


def _training(arm: str, by_seed: Mapping[int, Path]) -> Iterable[dict[str, Any]]:
    found: dict[str, dict[int, float]] = {}
    for seed, run in by_seed.items():
        for name, value in _facts(_rl_rows(run)).items():
            found.setdefault(name, {})[seed] = value
    for name, seeds in found.items():
        yield {"arm": arm, "metric": name, **mean_over_seeds(list(seeds.values())), "by_seed": seeds}


def _facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what a run's RL came to: both ends (a tenth of the steps each), the roughest gradient, and the cost.

    A step without a value, as a reward that no verifier gave or a gradient that was not finite, is left out.
    """
    first, last = tenths(rows)

    def known(key: str, some: Sequence[Mapping[str, Any]] = rows) -> list[float]:
        return [value for row in some if (value := value_of(row, key)) is not None and isfinite(value)]

    found = {
        "reward, first tenth": known("reward", first),
        "reward, last tenth": known("reward", last),
        "entropy, last tenth": known("entropy", last),
        "response tokens, first tenth": known("response_tokens_mean", first),
        "response tokens, last tenth": known("response_tokens_mean", last),
        "gradient norm, mean": known("grad_norm"),
    }
    facts = {name: fmean(values) for name, values in found.items() if values}
    if norms := known("grad_norm"):
        facts["gradient norm, highest"] = max(norms)
    sums = {
        "tokens generated": "tokens_generated",
        "tokens trained": "tokens_trained",
        "seconds of updates": "update_seconds",
        "seconds of steps": "step_seconds",
    }
    return facts | {name: sum(known(key)) for name, key in sums.items() if rows}


def _curves(by_seed: Mapping[int, Path]) -> dict[str, list[tuple[int, float, float, float]]]:
    """Metric -> (step, mean, lowest and highest over the seeds that have the step)."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in CURVES}
    for run in by_seed.values():
        for row in _rl_rows(run):
            for name in CURVES:
                if row.get(name) is not None:
                    found[name].setdefault(row["at"], []).append(row[name])
    return {
        name: [(at, float(np.mean(v)), min(v), max(v)) for at, v in sorted(points.items())]
        for name, points in found.items()
    }


def _picks(arm: str, by_seed: Mapping[int, Path]) -> Iterable[dict[str, Any]]:
    """The checkpoint that RL started from, on each seed."""
    for seed, run in by_seed.items():
        for file in sorted(run.glob("*/decision.json")):
            decision = read_json(file)
            candidates = {row["name"]: row for row in read_json(file.parent / "candidates.json")}
            pick = candidates.get(decision["picked"], {})
            facts = {key: pick.get(key) for key in ("epoch", "entropy", "pass@1")}
            yield {"arm": arm, "seed": seed, "rule": decision["rule"], "picked": decision["picked"], **facts}


def as_markdown(comparison: Mapping[str, Any]) -> str:
    """The tables of a comparison, scores in percent."""
    seeds = comparison["seeds"]
    lines = [
        f"# {comparison['experiment']}", "", comparison["question"], "",
        f"Recipe `{comparison['recipe']}`, seeds {', '.join(map(str, seeds))}. avg@k in percent.", "",
        "| policy | task | arm | mean | sd | " + " | ".join(f"seed {s}" for s in seeds) + " |",
        "|---|---|---|---:|---:|" + "---:|" * len(seeds),
    ]  # fmt: skip
    for row in sorted(comparison["scores"], key=lambda row: (row["policy"], row["task"])):
        lines.append(f"| {row['policy']} | {row['task']} | {row['arm']} | {_tail(row, seeds, 100)} |")
    lines += [
        "", f"Differences to `{next(iter(comparison['arms']))}` in points, paired over the problems of a seed; "
        "the interval is Student's t over seeds.",
        "", "| policy | task | arm | mean | 95 % | " + " | ".join(f"seed {s}" for s in seeds) + " | |",
        "|---|---|---|---:|---|" + "---:|" * len(seeds) + "---|",
    ]  # fmt: skip
    for row in comparison["differences"]:
        ends = "–" if row["ci95"] is None else f"[{100 * row['ci95'][0]:+.1f}, {100 * row['ci95'][1]:+.1f}]"
        shown = " | ".join(_number(row["by_seed"].get(seed), 100, "+.1f") for seed in seeds)
        head = f"| {row['policy']} | {row['task']} | {row['arm']} | {100 * row['mean']:+.1f} | {ends} "
        lines.append(head + f"| {shown} | {row['verdict']} |")
    lines += ["", "| RL | arm | mean | sd | " + " | ".join(f"seed {s}" for s in seeds) + " |"]
    lines += ["|---|---|---:|---:|" + "---:|" * len(seeds)]
    for row in sorted(comparison["training"], key=lambda row: _order(comparison["training"], row["metric"])):
        lines.append(f"| {row['metric']} | {row['arm']} | {_tail(row, seeds, 1)} |")
    lines += ["", *(f"Not compared: {row['arm']}, seed {row['seed']}: {row['why']}" for row in comparison["left_out"])]
    return "\n".join(lines).rstrip() + "\n"


def _order(rows: Sequence[Mapping[str, Any]], metric: str) -> int:
    return list(dict.fromkeys(row["metric"] for row in rows)).index(metric)


def _tail(row: Mapping[str, Any], seeds: Sequence[int], times: float) -> str:
    form = ".1f" if times == 100 else ",.4g" if abs(row["mean"]) < 1000 else ",.0f"
    values = [row["mean"], row["sd"], *(row["by_seed"].get(seed) for seed in seeds)]
    return " | ".join(_number(value, times, form) for value in values)


def _number(value: float | None, times: float, form: str) -> str:
    return "–" if value is None else f"{times * value:{form}}"
