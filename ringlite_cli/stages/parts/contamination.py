"""Which evaluated problems stand, as they are or nearly, in a set that the same run trains on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.problems import Problem, read_problems
from ringlite_cli.runs.files import read_jsonl, write_json
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.stages.base import Context

Flags = dict[str, dict[str, dict[str, Any]]]
"""Task -> problem id -> {"set", "id", "score"}: the training problem that it repeats."""


def training_sets(context: Context) -> dict[str, list[Problem]]:
    """The sets that the run's finished training stages read."""
    found: dict[str, list[Problem]] = {}
    for name, stage in context.recipe.stages.items():
        if stage.kind not in ("sft", "rl"):
            continue
        if not isinstance(stage.data, str):
            if _is_done(context, name):
                found[name] = read_problems(context.output(name, "traces"))
        elif _is_done(context, stage.data):
            found[stage.data] = context.problems(stage.data)
    return found


def find_contaminated(tasks: Mapping[str, Sequence[Problem]], training: Mapping[str, Sequence[Problem]]) -> Flags:
    """The flags of every task, by the rule that curation decontaminates with (data/decontaminate.py).

    Procedural sets differ in nothing but numbers, so generated problems count as copies only where they are the same.
    """
    from ringlite_cli.data.decontaminate import decontaminate
    from ringlite_cli.data.rows import CuratedRow

    flags: Flags = {task: {} for task in tasks}
    for name, trained in training.items():
        held = [CuratedRow(p, "train", procedural=_is_made(p)) for p in trained]
        for task, problems in tasks.items():
            rows = [CuratedRow(p, "eval", procedural=_is_made(p)) for p in problems]
            for drop in decontaminate(rows, held).drops:
                copied, score = drop.other, drop.score
                if copied is not None and score is not None:
                    flag = {"set": name, "id": copied.id, "score": round(score, 4)}
                    flags[task].setdefault(drop.problem.id, flag)
    return flags


def write_flags(folder: Path, flags: Flags, scores: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    """Write contamination.json, add `contaminated` and `avg@k_clean` to the scores; return a warning or ""."""
    write_json(folder / "contamination.json", flags)
    rewards: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in read_jsonl(folder / "responses.jsonl"):
        rewards.setdefault((row["policy"], row["task"]), {}).setdefault(row["id"], []).append(row["reward"])
    for policy, tasks in scores.items():
        for task, score in tasks.items():
            if task not in flags:
                continue  # a task of lm-evaluation-harness: its prompts hold its shots, which say nothing of the item
            flagged = flags.get(task, {})
            clean = [sum(r) / len(r) for name, r in rewards.get((policy, task), {}).items() if name not in flagged]
            score["contaminated"] = len(flagged)
            score["avg@k_clean"] = sum(clean) / len(clean) if clean else None
    write_json(folder / "scores.json", scores)
    found = {task: len(of) for task, of in flags.items() if of}
    if not found:
        return ""
    counts = ", ".join(f"{count} of {task}" for task, count in found.items())
    return f"{counts} stand in the training sets: see contamination.json, and avg@k_clean without them"


def _is_made(problem: Problem) -> bool:
    """Return whether it was made, by its source's name (`arithmetic`, `train/arithmetic`, `reasoning-gym#2`)."""
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.recipe.curation import GYM

    return problem.source.rpartition("/")[2].partition("#")[0] in (*GENERATORS, GYM)


def _is_done(context: Context, reference: str) -> bool:
    manifest = read_manifest(context.run / reference.partition(".")[0])
    return manifest is not None and manifest.status == "done"
