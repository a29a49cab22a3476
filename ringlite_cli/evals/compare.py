"""Two runs side by side: paired differences of their scores, what they cost, and what their recipes differ in.

A run may be narrowed to one policy, as `RUN:POLICY`; two such sides are compared whatever the policies' names.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.errors import UserError
from ringlite_cli.evals import items, metrics
from ringlite_cli.evals.compare_costs import (
    Manifests,
    manifests_of,
    policy_costs,
    recipe_differences,
    stage_costs,
    training,
    unshared_stages,
)
from ringlite_cli.evals.eval_stages import asked_again, task_name
from ringlite_cli.report.files import num
from ringlite_cli.report.words import joined
from ringlite_cli.runs.earlier import made_from_earlier
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.runs.folder import check_is_folder, split_policy
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.runs.revisions import in_words, rescored_files, revisions_of
from ringlite_cli.runs.stored_rows import sound_response

Means = dict[str, float]
"""Problem id -> mean reward of its responses."""
_Groups = Mapping[str, list[dict[str, Any]]]
"""Problem id -> its rows."""
_Staged = Mapping[tuple[str, str, str], _Groups]
"""(policy, task, eval stage) -> its rows."""


def compare(run_a: Path, run_b: Path, *, read: int = 0) -> dict[str, Any]:
    """{"scores": [row per policy and task], "training": [row per stage and metric], "policies": [row per policy and
    cost], "cost": [row per stage and cost], "recipe": [row per key of a shared stage that differs], "notes"}.

    A score row has `a`, `b`, `difference` (b - a), its `ci95` over the problems that both have (bootstrap over
    pairs, no narrower than exact bounds: see `metrics`), `n`, `verdict` ("better", "worse" or "no difference
    shown"), `wins` and `losses` (ids of problems), the mean response's tokens `tokens_a` and `tokens_b`, and `items`,
    the first `read` wins and losses with their responses. Of two policies of one run there is no row of training and
    of cost by stage. Raises UserError for a folder without responses.
    """
    (folder_a, policy_a), (folder_b, policy_b) = split_policy(str(run_a)), split_policy(str(run_b))
    forms_a, forms_b = _by_task(_by_revision(folder_a, policy_a), _by_revision(folder_b, policy_b))
    rows_a, rows_b = dict(forms_a[0]), dict(forms_b[0])
    pairs = _pairs(rows_a, rows_b, (policy_a, policy_b))
    if not pairs:
        raise UserError(
            "the runs have no policy and task in common",
            where=f"{run_a} and {run_b}",
            hint=f"the first has {_names(rows_a)}, the second {_names(rows_b)}",
        )
    notes, names = [], _names_of(folder_a, folder_b)
    for name, rows, place in zip(names, (rows_a, rows_b), (0, 1), strict=True):
        if alone := [key for key in rows if key not in [pair[place] for pair in pairs]]:
            notes.append(f"only in {name}: {_names(alone)}")
    scores = []
    for key_a, key_b in pairs:
        rows_a[key_a], rows_b[key_b] = _alike(_of(key_a, forms_a), _of(key_b, forms_b))
        a, b = _means(rows_a[key_a], run_a, key_a), _means(rows_b[key_b], run_b, key_b)
        ids = items.split_items(a, b)
        key = (key_a[0] if key_a == key_b else f"{key_a[0]} / {key_b[0]}", key_a[1])
        row = _difference(key, a, b) | ids
        row |= {"tokens_a": _tokens(rows_a[key_a]), "tokens_b": _tokens(rows_b[key_b])}
        row |= {"revisions_a": _revisions(rows_a[key_a]), "revisions_b": _revisions(rows_b[key_b])}
        if row["revisions_a"] != row["revisions_b"]:
            notes.append(_unlike(key, row, *names))
        row["items"] = items.reading(key_a, key_b, ids, rows_a, rows_b, read)
        left_out = len(set(a) ^ set(b))
        if not row["paired"]:
            notes.append(_unpaired(key, row))
        elif left_out:
            notes.append(f"{key[0]} on {key[1]}: {left_out} problems are in one run only and are left out")
        scores.append(row)
    manifests_a, manifests_b = manifests_of(folder_a), manifests_of(folder_b)
    policies = dict.fromkeys((key_a[0], key_b[0]) for key_a, key_b in pairs)
    one_run = folder_a.resolve() == folder_b.resolve()  # two policies of it: its stages do not differ from themselves
    return {
        "runs": [str(run_a), str(run_b)],
        "scores": scores,
        "training": [] if one_run else training((folder_a, manifests_a), (folder_b, manifests_b)),
        "policies": [row for pair in policies for row in policy_costs(pair, manifests_a, manifests_b)],
        "cost": [] if one_run else stage_costs(manifests_a, manifests_b),
        "recipe": recipe_differences(manifests_a, manifests_b),
        "notes": notes + _on_stages(names, (folder_a, folder_b), (manifests_a, manifests_b)),
    }


def is_worse(comparison: Mapping[str, Any]) -> bool:
    """Return whether the second run is worse on any policy and task, its interval wholly below zero."""
    return any(row["verdict"] == "worse" for row in comparison["scores"])


def _pairs(a: items.Rows, b: items.Rows, policies: tuple[str | None, str | None]) -> list[tuple[items.Key, items.Key]]:
    """What is compared with what: the same policy and task, or, of two sides narrowed to a policy, the same task."""
    if None in policies:
        return [(key, key) for key in a if key in b]
    return [(one, other) for one in a for other in b if one[1] == other[1]]


def _by_revision(run: Path, policy: str | None) -> list[_Staged]:
    """The rows of a run as first verified, then as `ringlite rescore` verified them, the newest revision first."""
    kinds = max((len(rescored_files(file)) for file in _files(run)), default=0)
    return [_responses(run, policy, None), *(_responses(run, policy, place) for place in range(kinds))]


def _by_task(*sides: Sequence[_Staged]) -> tuple[list[items.Rows], ...]:
    """Return the rows of each side by policy and task.

    A task that a policy answered in several eval stages of a run is one for each, `stage: task`, on both sides: the
    stages may ask for other lengths and numbers of responses, and their rows make no common score.
    """
    again: set[str] = set().union(*(asked_again((policy, task) for policy, task, _ in forms[0]) for forms in sides))
    return tuple(
        [{(policy, task_name(task, stage, again)): rows for (policy, task, stage), rows in f.items()} for f in forms]
        for forms in sides
    )


def _names_of(a: Path, b: Path) -> tuple[str, str]:
    """Return what notes call the runs: their folders' names, or their paths where two runs have one name."""
    return (str(a), str(b)) if a.name == b.name and a.resolve() != b.resolve() else (a.name, b.name)


def _on_stages(names: tuple[str, str], runs: tuple[Path, Path], told: tuple[Manifests, Manifests]) -> list[str]:
    """Say what a reader has to know of the stages of both runs; of two policies of one run once."""
    each = {
        run.resolve(): (*_unfinished(run, name), *_outdated(name, of))
        for name, run, of in zip(names, runs, told, strict=True)
    }
    return [note for notes in each.values() for note in notes] + unshared_stages(
        (names[0], told[0]), (names[1], told[1])
    )


def _unfinished(run: Path, name: str) -> list[str]:
    """Say which eval stages have not answered all that they were asked."""
    manifests = [(file.parent.name, read_manifest(file.parent)) for file in _files(run)]
    return [
        f"{stage} of {name} is not done ({manifest.status}): its responses so far are compared"
        for stage, manifest in manifests
        if manifest is not None and manifest.status != "done"
    ]


def _outdated(name: str, manifests: Manifests) -> list[str]:
    """Say which eval stages answered by policies that were made again since."""
    found = [(stage, made_from_earlier(stage, manifests)) for stage in manifests]
    return [
        f"{stage} of {name} is of an earlier result of {joined(earlier)} than the one that is there now"
        for stage, earlier in found
        if earlier and manifests[stage].get("kind") == "eval"
    ]


def _of(key: items.Key, forms: Sequence[items.Rows]) -> list[_Groups]:
    return [form[key] for form in forms if key in form]


def _alike(a: Sequence[_Groups], b: Sequence[_Groups]) -> tuple[_Groups, _Groups]:
    """The rows of both sides that one revision verified, the newest that they share; the first of each for none."""
    of_a, of_b = ({tuple(_revisions(rows)): rows for rows in reversed(side)} for side in (a, b))
    shared = [revisions for revisions in of_a if revisions in of_b and len(revisions) == 1]
    return (of_a[max(shared)], of_b[max(shared)]) if shared else (a[0], b[0])


def _revisions(rows: _Groups) -> list[int]:
    return revisions_of(row for group in rows.values() for row in group)


def _unpaired(key: items.Key, row: Mapping[str, Any]) -> str:
    if isnan(row["difference"]):
        why = "one of them has a single problem, so neither a change nor an interval is known"
        return f"{key[0]} on {key[1]}: the runs share no problem, and {why}"
    return f"{key[0]} on {key[1]}: the runs share no problem, so the difference is not paired"


def _unlike(key: items.Key, row: Mapping[str, Any], name_a: str, name_b: str) -> str:
    a, b = in_words(row["revisions_a"]), in_words(row["revisions_b"])
    return (
        f"{key[0]} on {key[1]}: scored by different revisions of the verdicts, {a} in {name_a} and {b} in "
        f"{name_b}, so the difference is not the models' alone; `ringlite rescore` verifies a run again"
    )


def _files(run: Path) -> list[Path]:
    """The files of evaluated responses in a run folder, or the one of a folder that holds it itself."""
    files = [run / "responses.jsonl"] if (run / "responses.jsonl").is_file() else sorted(run.glob("*/responses.jsonl"))
    return [file for file in files if not _is_selection(file.parent)]


def _is_selection(folder: Path) -> bool:
    """Return whether a stage's folder is that of a selection, which is no evaluation; by its manifest where it decided
    nothing yet."""
    manifest = read_manifest(folder)
    return (folder / "decision.json").exists() or (manifest is not None and manifest.kind == "select")


def _responses(run: Path, policy: str | None, rescored: int | None) -> _Staged:
    """The rows of a run folder (its eval stages) or of a folder with responses.jsonl itself.

    rescored: None for the rows as they were first verified, 0 for the newest revision beside them, 1 for the next.
    """
    check_is_folder(run, policy=policy)
    found: dict[tuple[str, str, str], dict[str, list[dict[str, Any]]]] = {}
    for file in _files(run):
        forms, stage = rescored_files(file), file.resolve().parent.name
        read = file if rescored is None or rescored >= len(forms) else forms[rescored]
        for row in (sound_response(read, row, ("policy", "task", "id")) for row in read_jsonl(read)):
            found.setdefault((row["policy"], row["task"], stage), {}).setdefault(row["id"], []).append(row)
    if not found:
        raise UserError("no evaluated responses in it", where=str(run), hint="run its eval stage first")
    mine = {key: rows for key, rows in found.items() if policy in (None, key[0])}
    if not mine:
        have = ", ".join(dict.fromkeys(key[0] for key in found))
        raise UserError(f"no policy {policy!r} in it", where=str(run), hint=f"it has {have}")
    return mine


def _means(rows: _Groups, run: Path, key: items.Key) -> Means:
    """Return the mean reward of each problem. Raises UserError where a response of a run has none."""
    if lacking := next((name for name, group in rows.items() if any(row.get("reward") is None for row in group)), None):
        raise UserError(
            f"responses of {key[0]} on {key[1]} have no reward, such as one to problem {lacking}",
            where=str(run),
            hint="`ringlite rescore` verifies a run's responses again",
        )
    return {name: float(np.mean([row["reward"] for row in group])) for name, group in rows.items()}


def _tokens(rows: Mapping[str, list[dict[str, Any]]]) -> float | None:
    """Mean tokens of a response; None where the rows do not say."""
    counts = [tokens for group in rows.values() for row in group if (tokens := num(row, "tokens")) is not None]
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


def _names(keys: Iterable[items.Key]) -> str:
    return ", ".join(f"{policy} on {task}" for policy, task in keys) or "none"
