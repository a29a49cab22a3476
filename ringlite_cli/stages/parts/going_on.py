"""Training that goes on with other values: from which step, how its rows are marked, and what becomes of the rate."""

import math
from collections.abc import Callable, Mapping, Sequence
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


def steps_asked(section: SftStage | RewardModelStage, checkpoints: Path) -> int | None:
    """Return the steps that a section asks for; None for epochs whose steps no checkpoint in this folder tells."""
    if (steps := section.trl_value("max_steps")) > 0:
        return int(steps)
    of_epoch = _told(checkpoints, "ringlite_tokens.json", "steps_per_epoch") or _steps_of_epoch(checkpoints)
    return math.ceil(section.trl_value("num_train_epochs") * of_epoch) if of_epoch else None


def _steps_of_epoch(checkpoints: Path) -> int | None:
    """Return the steps of an epoch by where a checkpoint stands in it, as earlier versions wrote no more.

    The last step of an epoch may take fewer batches than the others, so step / epoch is that number or less, by less
    than one.
    """
    epoch = _told(checkpoints, "trainer_state.json", "epoch")
    return math.ceil(round((last_step(checkpoints) or 0) / epoch, 6)) if epoch else None


def last_ranks(checkpoints: Path) -> int | None:
    """Return how many ranks saved the newest sealed checkpoint in a folder; None where nothing tells."""
    found = _told(checkpoints, "ringlite_seal.json", "ranks")
    return found if isinstance(found, int) else None


def _told(checkpoints: Path, name: str, key: str) -> int | float | None:
    """Return the number that a JSON file of the newest sealed checkpoint has; None where there is none."""
    try:
        found = read_json(checkpoints / f"checkpoint-{last_step(checkpoints)}" / name).get(key)
    except (*ABSENT, ValueError, AttributeError):
        return None
    return found if isinstance(found, int | float) else None


def marks(folder: Path) -> dict[int, dict[str, Any]]:
    """Return, by the manifest of a stage's folder, step -> the keys whose values changed after it."""
    try:
        entries = read_json(folder / "manifest.json").get("changes") or []
    except (*ABSENT, ValueError, AttributeError):
        return {}
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        if entry.get("keys"):
            _merge(found.setdefault(int(entry["step"]), {}), entry["keys"])
    return found


def _merge(changed: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Add later changes: key -> [before, after], the oldest value before and the newest after, where they differ."""
    for key, (before, after) in later.items():
        first = changed.pop(key)[0] if key in changed else before
        if first != after:
            changed[key] = [first, after]


def with_change(changes: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a manifest's changes with another one. Those after one step are one: nothing in between was kept."""
    here = [*(each for each in changes if each["step"] == entry["step"]), entry]
    keys: dict[str, Any] = {}
    for each in here:
        _merge(keys, each.get("keys") or {})
    maker = next((each["made_by"] for each in here if each.get("made_by")), None)
    merged = ({"keys": keys} if keys else {}) | ({"made_by": maker} if maker else {})
    others = [dict(each) for each in changes if each["step"] != entry["step"]]
    return [*others, {"step": entry["step"], **merged}] if merged else others


def marked(row: dict[str, Any], changed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row of metrics; the first one after a change has it under `changed`: key -> [before, after]."""
    found = changed.get(row["step"] - 1)
    return row | {"changed": dict(found)} if found else row


class Marking:
    """Marks rows as `marked` does, also where training went back: a change holds from the first row after that."""

    def __init__(self, changed: Mapping[int, Mapping[str, Any]]) -> None:
        self._changed = {step: dict(keys) for step, keys in changed.items()}
        self._last: int | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        step = int(row["step"])
        if self._last is None or step <= self._last:
            self._hold_from(step - 1)
        self._last = step
        return marked(row, self._changed)

    def _hold_from(self, step: int) -> None:
        """Move changes of later steps to this one."""
        moved: dict[str, Any] = {}
        for at in [at for at in self._changed if at >= step]:  # as they came
            _merge(moved, self._changed.pop(at))
        if moved:
            self._changed[step] = moved


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
