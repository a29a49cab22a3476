"""Two runs side by side: paired differences of their scores, what they cost, and what their recipes differ in.

A run may be narrowed to one policy, as `RUN:POLICY`; two such sides are compared whatever the policies' names.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.errors import UserError
from ringlite_cli.evals import items, metrics
from ringlite_cli.evals.revisions import in_words, rescored_files, revisions_of
from ringlite_cli.runs.catalogue import OF_STAGE, TOTALS, of_stage, value_of
from ringlite_cli.runs.files import read_json, read_jsonl

Means = dict[str, float]
"""Problem id -> mean reward of its responses."""
_Groups = Mapping[str, list[dict[str, Any]]]
"""Problem id -> its rows."""


def compare(run_a: Path, run_b: Path, *, read: int = 0) -> dict[str, Any]:
    """{"scores": [row per policy and task], "training": [row per stage and metric], "cost": [row per stage],
    "recipe": [row per differing key], "notes"}.

    A score row has `a`, `b`, `difference` (b - a), its `ci95` by paired bootstrap over the problems that both have,
    `n`, `verdict` ("better", "worse" or "no difference shown"), `wins` and `losses` (ids of problems), the mean
    response's tokens `tokens_a` and `tokens_b`, and `items`, the first `read` wins and losses with their responses.
    Raises UserError for a folder without responses.
    """
    (folder_a, policy_a), (folder_b, policy_b) = _side(run_a), _side(run_b)
    forms_a, forms_b = _by_revision(folder_a, policy_a), _by_revision(folder_b, policy_b)
    rows_a, rows_b = dict(forms_a[0]), dict(forms_b[0])
    pairs = _pairs(rows_a, rows_b, (policy_a, policy_b))
    if not pairs:
        raise UserError(
            "the runs have no policy and task in common",
            where=f"{run_a} and {run_b}",
            hint=f"the first has {_names(rows_a)}, the second {_names(rows_b)}",
        )
    notes = []
    for name, rows, place in ((folder_a.name, rows_a, 0), (folder_b.name, rows_b, 1)):
        if alone := [key for key in rows if key not in [pair[place] for pair in pairs]]:
            notes.append(f"only in {name}: {_names(alone)}")
    scores = []
    for key_a, key_b in pairs:
        rows_a[key_a], rows_b[key_b] = _alike(_of(key_a, forms_a), _of(key_b, forms_b))
        a, b = _means(rows_a[key_a]), _means(rows_b[key_b])
        ids = items.split_items(a, b)
        key = (key_a[0] if key_a == key_b else f"{key_a[0]} / {key_b[0]}", key_a[1])
        row = _difference(key, a, b) | ids
        row |= {"tokens_a": _tokens(rows_a[key_a]), "tokens_b": _tokens(rows_b[key_b])}
        row |= {"revisions_a": _revisions(rows_a[key_a]), "revisions_b": _revisions(rows_b[key_b])}
        if row["revisions_a"] != row["revisions_b"]:
            notes.append(_unlike(key, row, folder_a, folder_b))
        row["items"] = items.reading(key_a, key_b, ids, rows_a, rows_b, read)
        left_out = len(set(a) ^ set(b))
        if not row["paired"]:
            notes.append(f"{key[0]} on {key[1]}: the runs share no problem, so the difference is not paired")
        elif left_out:
            notes.append(f"{key[0]} on {key[1]}: {left_out} problems are in one run only and are left out")
        scores.append(row)
    manifests_a, manifests_b = _manifests(folder_a), _manifests(folder_b)
    return {
        "runs": [str(run_a), str(run_b)],
        "scores": scores,
        "training": _training((folder_a, manifests_a), (folder_b, manifests_b)),
        "cost": _cost(manifests_a, manifests_b),
        "recipe": _recipe_differences(manifests_a, manifests_b),
        "notes": notes,
    }


def as_text(comparison: Mapping[str, Any]) -> str:
    """The comparison as Markdown tables, scores in percent."""
    name_a, name_b = (Path(run).name for run in comparison["runs"])
    name_a, name_b = (name_a, name_b) if name_a != name_b else tuple(comparison["runs"])
    lines = [
        f"| policy | task | {name_a} | {name_b} | difference | 95 % | n | won | lost | tokens a response | |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|---:|---|",
    ]
    for row in comparison["scores"]:
        a, b, d, low, high = (100 * x for x in (row["a"], row["b"], row["difference"], *row["ci95"]))
        lines.append(
            f"| {row['policy']} | {row['task']} | {a:.1f} | {b:.1f} | {d:+.1f} | [{low:+.1f}, {high:+.1f}] "
            f"| {row['n']} | {len(row['wins'])} | {len(row['losses'])} "
            f"| {_number(row['tokens_a'])} -> {_number(row['tokens_b'])} | {_verdict(row)} |"
        )
    if comparison["training"]:
        lines += ["", f"| stage | last tenth of the steps | unit | {name_a} | {name_b} |", "|---|---|---|---:|---:|"]
        lines += [
            f"| {r['stage']} | {r['metric']} | {r['unit']} | {_number(r['a'])} | {_number(r['b'])} |"
            for r in comparison["training"]
        ]
    if comparison["cost"]:
        lines += ["", f"| stage | cost | {name_a} | {name_b} |", "|---|---|---:|---:|"]
        lines += [f"| {r['stage']} | {r['cost']} | {_number(r['a'])} | {_number(r['b'])} |" for r in comparison["cost"]]
    if comparison["recipe"]:
        lines += ["", f"| recipe key | {name_a} | {name_b} |", "|---|---|---|"]
        lines += [f"| {r['key']} | {r['a']} | {r['b']} |" for r in comparison["recipe"]]
    lines += [*([""] if comparison["notes"] else []), *comparison["notes"]]
    for row in comparison["scores"]:
        lines += items.as_text(row, (name_a, name_b))
    return "\n".join([*lines, ""])


def _verdict(row: Mapping[str, Any]) -> str:
    """The verdict on a difference, marked where the two sides were scored by different revisions."""
    a, b = in_words(row["revisions_a"]), in_words(row["revisions_b"])
    return str(row["verdict"]) if a == b else f"{row['verdict']} (verdicts of revision {a} / {b})"


def is_worse(comparison: Mapping[str, Any]) -> bool:
    """Whether the second run is worse on any policy and task, its interval wholly below zero."""
    return any(row["verdict"] == "worse" for row in comparison["scores"])


def _side(run: Path) -> tuple[Path, str | None]:
    """The folder and the policy of `RUN:POLICY`; no policy for a plain `RUN`."""
    folder, sign, policy = str(run).rpartition(":")
    if sign and policy and not run.exists() and Path(folder).is_dir():
        return Path(folder), policy
    return run, None


def _pairs(a: items.Rows, b: items.Rows, policies: tuple[str | None, str | None]) -> list[tuple[items.Key, items.Key]]:
    """What is compared with what: the same policy and task, or, of two sides narrowed to a policy, the same task."""
    if None in policies:
        return [(key, key) for key in a if key in b]
    return [(one, other) for one in a for other in b if one[1] == other[1]]


def _by_revision(run: Path, policy: str | None) -> list[items.Rows]:
    """The rows of a run as first verified, then as `ringlite rescore` verified them, the newest revision first."""
    kinds = max((len(rescored_files(file)) for file in _files(run)), default=0)
    return [_responses(run, policy, None), *(_responses(run, policy, place) for place in range(kinds))]


def _of(key: items.Key, forms: Sequence[items.Rows]) -> list[_Groups]:
    return [form[key] for form in forms if key in form]


def _alike(a: Sequence[_Groups], b: Sequence[_Groups]) -> tuple[_Groups, _Groups]:
    """The rows of both sides that one revision verified, the newest that they share; the first of each for none."""
    of_a, of_b = ({tuple(_revisions(rows)): rows for rows in reversed(side)} for side in (a, b))
    shared = [revisions for revisions in of_a if revisions in of_b and len(revisions) == 1]
    return (of_a[max(shared)], of_b[max(shared)]) if shared else (a[0], b[0])


def _revisions(rows: _Groups) -> list[int]:
    return revisions_of(row for group in rows.values() for row in group)


def _unlike(key: items.Key, row: Mapping[str, Any], folder_a: Path, folder_b: Path) -> str:
    a, b = in_words(row["revisions_a"]), in_words(row["revisions_b"])
    return (
        f"{key[0]} on {key[1]}: scored by different revisions of the verdicts, {a} in {folder_a.name} and {b} in "
        f"{folder_b.name}, so the difference is not the models' alone; `ringlite rescore` verifies a run again"
    )


def _files(run: Path) -> list[Path]:
    """The files of evaluated responses in a run folder, or the one of a folder that holds it itself."""
    files = [run / "responses.jsonl"] if (run / "responses.jsonl").is_file() else sorted(run.glob("*/responses.jsonl"))
    return [file for file in files if not (file.parent / "decision.json").exists()]  # a selection is no evaluation


def _responses(run: Path, policy: str | None, rescored: int | None) -> items.Rows:
    """The rows of a run folder (its eval stages) or of a folder with responses.jsonl itself.

    rescored: None for the rows as they were first verified, 0 for the newest revision beside them, 1 for the next.
    """
    if not run.is_dir():
        raise UserError("no such run folder", where=str(run), hint="give a folder such as runs/demo")
    found: dict[items.Key, dict[str, list[dict[str, Any]]]] = {}
    for file in _files(run):
        forms = rescored_files(file)
        for row in read_jsonl(file if rescored is None or rescored >= len(forms) else forms[rescored]):
            found.setdefault((row["policy"], row["task"]), {}).setdefault(row["id"], []).append(row)
    if not found:
        raise UserError("no evaluated responses in it", where=str(run), hint="run its eval stage first")
    mine = {key: rows for key, rows in found.items() if policy in (None, key[0])}
    if not mine:
        have = ", ".join(dict.fromkeys(key[0] for key in found))
        raise UserError(f"no policy {policy!r} in it", where=str(run), hint=f"it has {have}")
    return mine


def _means(rows: Mapping[str, list[dict[str, Any]]]) -> Means:
    return {name: float(np.mean([row["reward"] for row in group])) for name, group in rows.items()}


def _tokens(rows: Mapping[str, list[dict[str, Any]]]) -> float | None:
    """Mean tokens of a response; None where the rows do not say."""
    counts = [row["tokens"] for group in rows.values() for row in group if "tokens" in row]
    return float(np.mean(counts)) if counts else None


def _difference(key: tuple[str, str], a: Means, b: Means) -> dict[str, Any]:
    """Paired over the problems that both have; over all of each run's own where they share none."""
    ids = [name for name in a if name in b]
    first, second = [a[name] for name in ids], [b[name] for name in ids]
    difference, (low, high) = metrics.paired_difference(first, second)
    if not ids:
        first, second = list(a.values()), list(b.values())
        difference, (low, high) = metrics.unpaired_difference(first, second)
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return {
        "policy": key[0],
        "task": key[1],
        "a": float(np.mean(first)),
        "b": float(np.mean(second)),
        "difference": difference,
        "ci95": [low, high],
        "n": len(ids) or min(len(first), len(second)),
        "paired": bool(ids),
        "verdict": verdict,
    }


def _manifests(run: Path) -> dict[str, dict[str, Any]]:
    """Stage -> manifest, of those that can be read."""
    found = {}
    for file in sorted(run.glob("*/manifest.json")):
        try:
            manifest = read_json(file)
        except ValueError:
            continue
        if isinstance(manifest, dict):
            found[str(manifest.get("stage") or file.parent.name)] = manifest
    return found


def _training(a: tuple[Path, Mapping[str, Any]], b: tuple[Path, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the last tenth of the steps of each training stage that both runs have."""
    rows = []
    for stage in (name for name in a[1] if name in b[1]):
        kind = a[1][stage].get("kind")
        if kind not in OF_STAGE or b[1][stage].get("kind") != kind:
            continue
        shown = {m.key: m for folder in (a[0], b[0]) for m in of_stage(kind, folder / stage) if m.status}
        means_a, means_b = (_last_tenth(folder / stage / "metrics.jsonl", shown) for folder in (a[0], b[0]))
        for key in (key for key in means_a if key in means_b):
            known = shown[key]
            row = {"stage": stage, "metric": known.name, "unit": known.unit, "a": means_a[key], "b": means_b[key]}
            rows.append(row)
    return rows


def _last_tenth(file: Path, keys: Iterable[str]) -> dict[str, float]:
    rows = read_jsonl(file) if file.is_file() else []
    last = rows[-max(1, len(rows) // 10) :]
    found = {key: [v for row in last if (v := value_of(row, key)) is not None] for key in keys}
    return {key: sum(values) / len(values) for key, values in found.items() if values}


def _cost(a: Mapping[str, dict[str, Any]], b: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for stage in dict.fromkeys([*a, *b]):
        costs_a, costs_b = _costs(a.get(stage, {})), _costs(b.get(stage, {}))
        for cost in dict.fromkeys([*costs_a, *costs_b]):
            rows.append({"stage": stage, "cost": cost, "a": costs_a.get(cost), "b": costs_b.get(cost)})
    return rows


def _costs(manifest: Mapping[str, Any]) -> dict[str, float]:
    tokens = {TOTALS.get(name, f"tokens {name}"): float(n) for name, n in (manifest.get("tokens") or {}).items()}
    return tokens | ({"seconds": float(manifest["seconds"])} if manifest.get("seconds") else {})


def _recipe_differences(a: Mapping[str, dict[str, Any]], b: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    keys_a, keys_b = _keys(a), _keys(b)
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
    return {key: v for inner, x in value.items() for key, v in _flat(f"{name}.{inner}", x).items()}


def _names(keys: Iterable[items.Key]) -> str:
    return ", ".join(f"{policy} on {task}" for policy, task in keys) or "none"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
