"""Training that goes on with other values: from which step, how its rows are marked, and what becomes of the rate."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.presence import ABSENT, entries, is_there
from ringlite_cli.recipe.schema import RewardModelStage, RlStage, SftStage
from ringlite_cli.runs.files import MetricsWriter, cut_jsonl, read_json

_LENGTHS = ("trl.max_steps", "trl.num_train_epochs")


def last_step(folder: Path) -> int | None:
    """Return the step of the newest sealed checkpoint in a folder of them; None where there is none.

    Only names are read: whether it is whole is asked when training goes on from it.
    """
    sealed = [path for path in entries(folder, "checkpoint-*") if is_there(path / "ringlite_seal.json")]
    steps = [path.name.removeprefix("checkpoint-") for path in sealed]
    return max((int(step) for step in steps if step.isdecimal()), default=None)


def marks(folder: Path) -> dict[int, dict[str, Any]]:
    """Return, by the manifest of a stage's folder, step -> the keys whose values changed after it."""
    try:
        entries = read_json(folder / "manifest.json").get("changes") or []
    except (*ABSENT, ValueError, AttributeError):
        return {}
    return {int(entry["step"]): dict(entry["keys"]) for entry in entries if entry.get("keys")}


def marked(row: dict[str, Any], changed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row of metrics; the first one after a change has it under `changed`: key -> [before, after]."""
    found = changed.get(row["step"] - 1)
    return row | {"changed": dict(found)} if found else row


def rate_note(section: RlStage | SftStage | RewardModelStage, keys: Mapping[str, Any]) -> str:
    """Return what happens to the learning rate where the length of the training changed; '' where nothing does."""
    if not any(name in keys for name in _LENGTHS):
        return ""
    schedule = section.trl_value("lr_scheduler_type")
    warmup = section.trl_value("warmup_steps")
    if schedule == "constant" or (schedule == "constant_with_warmup" and not 0 < warmup < 1):
        return ""
    return f"the {schedule} schedule of the learning rate is now that of the new length, from this step on"


class StepRows:
    """metrics.jsonl of the stage; going on after a stop, rows of steps that are trained again are replaced."""

    def __init__(
        self, path: Path, changed: Mapping[int, Mapping[str, Any]], show: Callable[[dict[str, Any]], None]
    ) -> None:
        self._path, self._changed, self._show = path, changed, show
        self._writer: MetricsWriter | None = None

    def append(self, row: dict[str, Any]) -> None:
        """Write a row, and show it."""
        if self._writer is None:
            cut_jsonl(self._path, lambda old: old["step"] < row["step"])
            self._writer = MetricsWriter(self._path)
        self._writer.append(marked(row, self._changed))
        self._show(row)
