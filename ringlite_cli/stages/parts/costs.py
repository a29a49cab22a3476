"""What a stage will take: time by the rates that were measured in a runs folder, disk, and money by a price."""

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.schema import CurateStage, EvalStage, Recipe, RlStage, SelectStage, SftStage
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.ranks import world_size

_COUNTED = {"sft": "trained", "reward-model": "trained", "rl": "trained", "select": "generated", "eval": "generated"}
"""Kind of stage -> the tokens that its time goes with."""


@dataclass(frozen=True)
class Time:
    """seconds of a stage; how they are known; and the devices that it was measured on.

    at_most: the stage may take less, as its tokens are known by their limit alone.
    """

    seconds: float
    source: str
    devices: int
    at_most: bool = False


def expected_time(recipe: Recipe, name: str, tokens: int | None, runs: Path, folder: Path | None = None) -> Time | None:
    """Return how long a stage takes; None where nothing like it was measured below `runs`.

    A finished stage of this run tells it itself, by its rate where its section was another. Else the rate of the newest
    finished stage of the same kind and model in another run is taken. tokens: that the stage will train or generate, at
    most. folder: of this run, where it is not named after the recipe.
    """
    home = (folder or runs / recipe.name) / name
    own, kind, model = read_manifest(home), recipe.stages[name].kind, recipe.model.objective()
    rated = _measured(home, kind, model) if tokens is not None and kind in _COUNTED else None
    if own and own.status == "done" and (rated is None or _same_section(own, recipe.stages[name])):
        return Time(own.seconds, f"when it was last run ({_device(own)})", _count(own))
    if tokens is None or kind not in _COUNTED:
        return None
    measured = (
        [rated]
        if rated
        else [m for path in runs.glob("*/*/manifest.json") if (m := _measured(path.parent, kind, model))]
    )
    if not measured:
        return None
    best = max(measured, key=lambda manifest: manifest.finished)
    worked = best.tokens[_COUNTED[kind]] + int(best.metrics.get("tokens_rolled_back") or 0)  # their time is in seconds
    rate = worked / best.seconds
    source = f"at most, at {rate:,.0f} tokens/s as in a finished {kind} stage ({_device(best)})"
    return Time(tokens / rate, source, _count(best), at_most=True)


def tokens_of(recipe: Recipe, name: str, problems: int | None) -> int | None:
    """Return the tokens that a stage trains or generates, at most; None where they depend on data not at hand.

    problems: those that it reads.
    """
    section: Any = recipe.stages[name]
    if isinstance(section, RlStage):
        return section.steps * section.batch_plan().budget_step
    if isinstance(section, SftStage) and (steps := section.trl_value("max_steps")) > 0:
        rows = section.trl_value("per_device_train_batch_size") * section.trl_value("gradient_accumulation_steps")
        return int(steps * rows * world_size() * section.trl_value("max_length"))
    if problems is None:
        return None
    if isinstance(section, SftStage):
        return round(problems * section.trl_value("max_length") * section.trl_value("num_train_epochs"))
    if isinstance(section, SelectStage):
        sft: Any = recipe.stages[section.candidates]
        if sft.trl_value("max_steps") > 0:
            return None
        checkpoints = ceil(sft.trl_value("num_train_epochs") * sft.checkpoints_per_epoch)
        return problems * section.num_generations * section.max_completion_length * checkpoints
    if isinstance(section, EvalStage):
        return problems * section.num_generations * section.max_completion_length * len(section.policies)
    return None


def read_by(recipe: Recipe, name: str) -> int | None:
    """Return how many problems a stage draws from or trains on, where the recipe says so."""
    section: Any = recipe.stages[name]
    sets = section.tasks if isinstance(section, EvalStage) else [getattr(section, "data", "")]
    counts = [set_size(recipe, each) if isinstance(each, str) else None for each in sets]
    return sum(count or 0 for count in counts) if all(counts) else None


def set_size(recipe: Recipe, name: str) -> int | None:
    """Return the problems of a curated set `stage.name`, by its own rows or its sources' (before any are dropped)."""
    stage, _, artifact = name.partition(".")
    curate = recipe.stages.get(stage)
    if not isinstance(curate, CurateStage) or artifact not in curate.sets:
        return None
    wanted = curate.sets[artifact]
    if wanted.rows:
        return sum(wanted.rows.values())
    rows = [source.rows for source in curate.sources if wanted.split in source.splits]
    return sum(count or 0 for count in rows) if all(rows) else None


def hours(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def duration(seconds: float) -> str:
    """Return a time in two units: 90 -> `1 min 30 s`; hours with minutes, days with hours."""
    whole = max(0, round(seconds))
    for unit, name, part, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // part} {small}"
    return f"{whole} s"


def _measured(folder: Path, kind: str, model: dict[str, Any]) -> Manifest | None:
    from ringlite_cli.recipe.schema import Model

    manifest = read_manifest(folder)
    if manifest is None or manifest.status != "done" or manifest.kind != kind or manifest.seconds <= 0:
        return None
    try:
        same = Model.model_validate(manifest.recipe.get("model")).objective() == model
    except ValueError:
        return None
    return manifest if same and manifest.tokens.get(_COUNTED[kind], 0) > 0 else None


def _same_section(manifest: Manifest, section: Any) -> bool:
    """Return whether a stage was run with the section that it has now, by the keys that decide what is computed.

    Keys that it does not know yet do not count.
    """
    given = {key: value for key, value in manifest.recipe.items() if key in type(section).model_fields}
    try:
        then = type(section).model_validate(given).objective()
    except ValueError:
        return False
    return all(then.get(key) == value for key, value in section.objective().items() if key in given)


def _device(manifest: Manifest) -> str:
    return str(manifest.versions.get("device", "?"))


def _count(manifest: Manifest) -> int:
    found = re.match(r"(\d+) x ", _device(manifest))
    return int(found[1]) if found else 1
