"""Training that goes on with other values: from which step, how its rows are marked, and what becomes of the rate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.schema import RlStage, SftStage
from ringlite_cli.runs.files import read_json

_LENGTHS = ("trl.max_steps", "trl.num_train_epochs")
_STEADY = ("constant", "constant_with_warmup")


def last_step(folder: Path) -> int | None:
    """Return the step of the newest sealed checkpoint in a folder of them; None where there is none.

    Only names are read: whether it is whole is asked when training goes on from it.
    """
    steps = [path.parent.name.rpartition("-")[2] for path in folder.glob("checkpoint-*/ringlite_seal.json")]
    return max((int(step) for step in steps if step.isdecimal()), default=None)


def marks(folder: Path) -> dict[int, dict[str, Any]]:
    """Return, by the manifest of a stage's folder, step -> the keys whose values changed after it."""
    try:
        entries = read_json(folder / "manifest.json").get("changes") or []
    except (OSError, ValueError, AttributeError):
        return {}
    return {int(entry["step"]): dict(entry["keys"]) for entry in entries if entry.get("keys")}


def marked(row: dict[str, Any], changed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row of metrics; the first one after a change has it under `changed`: key -> [before, after]."""
    found = changed.get(row["step"] - 1)
    return row | {"changed": dict(found)} if found else row


def rate_note(section: RlStage | SftStage, keys: Mapping[str, Any]) -> str:
    """Return what happens to the learning rate where the length of the training changed; '' where nothing does."""
    if not any(name in keys for name in _LENGTHS):
        return ""
    schedule = section.trl.get("lr_scheduler_type", "constant_with_warmup" if section.kind == "rl" else "cosine")
    if schedule in _STEADY:
        return ""
    return f"the {schedule} schedule of the learning rate is now that of the new length, from this step on"
