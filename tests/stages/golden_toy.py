"""Golden outputs of the toy recipe: what its stages came to, by kind and revision.

    python tests/stages/golden_toy.py RUN > tests/stages/golden_toy.json

writes them of a finished run, runs/toy. Where a release changes results on purpose, add the change in words to the
`revisions` of its kind of stage first.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ringlite_cli.problems import read_problems
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.stages.kinds import KINDS

GOLDEN = Path(__file__).with_suffix(".json")
CLOSE = 0.02
"""Relative difference that another machine's arithmetic may make."""


def results(run: Path) -> dict[str, dict[str, Any]]:
    """Return kind -> its revision, and what the stages of this kind came to."""
    values: dict[str, dict[str, Any]] = {
        "curate": {"rows": _rows(run), "dropped": read_json(run / "curate" / "funnel.json")["dropped"]},
        "sft": {"losses": [row["loss"] for row in read_jsonl(run / "sft" / "metrics.jsonl")]},
        "select": {"entropies": [row["entropy"] for row in read_json(run / "select" / "candidates.json")]},
        "rl": {name: _of_rl(run / name) for name in ("rl-math", "rl-mixed")},
        "eval": {"policies": {name: _sizes(tasks) for name, tasks in read_json(run / "eval" / "scores.json").items()}},
    }
    return {kind: {"revision": KINDS[kind].revision, **found} for kind, found in values.items()}


def _rows(run: Path) -> dict[str, list[str]]:
    names = read_json(run / "curate" / "funnel.json")["sets"]
    return {name: [p.id for p in read_problems(run / "curate" / f"{name}.parquet")][:5] for name in names}


def _of_rl(stage: Path) -> dict[str, list[float]]:
    rows = read_jsonl(stage / "metrics.jsonl")
    return {key: [row[key] for row in rows] for key in ("entropy", "tokens_trained", "budget", "lr")}


def _sizes(tasks: dict[str, Any]) -> dict[str, list[int]]:
    return {name: [score["n"], score["k"]] for name, score in tasks.items()}


def differences(golden: Any, found: Any, where: str = "") -> list[str]:
    """Return where two results differ by more than rounding."""
    if isinstance(golden, dict) and isinstance(found, dict):
        names = {**golden, **found}
        return [d for name in names for d in differences(golden.get(name), found.get(name), f"{where}.{name}")]
    if isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        return [
            d for i, (a, b) in enumerate(zip(golden, found, strict=True)) for d in differences(a, b, f"{where}[{i}]")
        ]
    if isinstance(golden, int | float) and isinstance(found, int | float):
        return [] if abs(golden - found) <= CLOSE * max(abs(golden), abs(found)) else [f"{where}: {golden} -> {found}"]
    return [] if golden == found else [f"{where}: {golden} -> {found}"]


def changed_kinds(golden: dict[str, Any], found: dict[str, Any]) -> dict[str, list[str]]:
    """Return kind -> differences, of those whose results changed while their revision did not."""
    return {
        kind: unlike
        for kind, before in golden.items()
        if before["revision"] == found[kind]["revision"] and (unlike := differences(before, found[kind], kind))
    }


if __name__ == "__main__":
    json.dump(results(Path(sys.argv[1])), sys.stdout, indent=1)
    print()
