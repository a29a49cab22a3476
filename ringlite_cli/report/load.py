"""A run folder read into plain dataclasses: which stages there are, how they stand, and their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.report.files import JsonRow, listing, load_json, load_rows, mapping, num, number, numbers, text
from ringlite_cli.runs.catalogue import value_of
from ringlite_cli.runs.folder import check_is_folder

KINDS = ("curate", "sft", "select", "reward-model", "rl", "eval")
STATUSES = ("done", "running", "failed", "interrupted")
_MARKS = {
    "curate": ("funnel.json",),
    "select": ("candidates.json", "decision.json"),
    "sft": ("checkpoints.json",),
    "reward-model": ("held_out.json",),
    "rl": ("rollouts.jsonl",),
    "eval": ("scores.json",),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage's folder. `status` is the manifest's, or "unknown"; `metrics` holds one row per step, ascending.

    redone: steps that occur twice in metrics.jsonl (an interruption went back to a checkpoint); the later row counts.
    seconds: time spent at work, or None while the stage does not say. tokens: trained, generated, kept, dropped.
    summary: what the stage said when it was done. message: why it failed, or what the user should know.
    """

    name: str
    kind: str
    status: str
    folder: Path
    manifest: JsonRow
    metrics: list[JsonRow]
    redone: int = 0
    bad_lines: int = 0
    started: datetime | None = None
    seconds: float | None = None
    tokens: dict[str, float] = field(default_factory=dict)
    summary: str = ""
    message: str = ""

    def load(self, name: str) -> Any:
        """A JSON file of the stage, or None."""
        return load_json(self.folder / name)

    def values(self, key: str) -> list[float]:
        """The values of a metric over the steps that have it; of one per layer, its extreme."""
        found = (number(value_of(row, key)) for row in self.metrics)
        return [value for value in found if value is not None]

    def total(self, key: str) -> float | None:
        """The sum of a metric over the steps, or None where no row has it."""
        found = self.values(key)
        return sum(found) if found else None


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its name, the recipe's note, its stages in pipeline order, and stages that the recipe still has to do.

    recipe: the resolved recipe, {} where it is not beside the stages.
    """

    name: str
    folder: Path
    note: str
    stages: list[Stage]
    ahead: list[str]
    recipe: JsonRow = field(default_factory=dict)

    def of(self, kind: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.kind == kind]


def ends(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the means over the first and the last tenth of the values (at least one each); None, None of none."""
    if not values:
        return None, None
    part = max(1, len(values) // 10)
    return sum(values[:part]) / part, sum(values[-part:]) / part


def load_run(folder: Path) -> Run:
    """Read a run folder. Raises UserError where there is none, or where it holds no stage."""
    check_is_folder(folder)
    if (folder / "manifest.json").is_file():
        raise UserError("this is one stage, not a run", where=str(folder), hint=f"give its parent, {folder.parent}")
    stages = [load_stage(child) for child in sorted(folder.iterdir()) if _is_stage(child)]
    if not stages:
        raise UserError(
            "not a run: no stage in it has a manifest.json or metrics.jsonl",
            where=str(folder),
            hint="give the folder runs/<recipe name> that `ringlite run` printed",
        )
    recipe = _run_recipe(folder)
    planned = list(mapping(recipe, "stages"))
    stages = _in_order(stages, planned)
    ahead = [name for name in planned if name not in {stage.name for stage in stages}]
    return Run(text(recipe, "name") or folder.resolve().name, folder, _note(recipe, stages), stages, ahead, recipe)


def load_stage(folder: Path) -> Stage:
    found = load_json(folder / "manifest.json")
    manifest: JsonRow = found if isinstance(found, dict) else {}
    name = folder.name
    read = load_rows(folder / "metrics.jsonl")
    metrics, redone = _by_step(read.rows)
    status = text(manifest, "status")
    return Stage(
        name=name,
        kind=_kind(name, folder, manifest),
        status=status if status in STATUSES else "unknown",
        folder=folder,
        manifest=manifest,
        metrics=metrics,
        redone=redone,
        bad_lines=read.bad,
        started=moment(manifest.get("started")),
        seconds=_seconds(manifest),
        tokens=numbers(manifest.get("tokens")),
        summary=text(manifest, "note"),
        message=text(manifest, "message"),
    )


def moment(value: Any) -> datetime | None:
    """Return a time from ISO 8601 text, always with a zone (UTC where none is given); None for anything else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def _is_stage(folder: Path) -> bool:
    return not folder.name.startswith(".") and any(
        (folder / name).is_file() for name in ("manifest.json", "metrics.jsonl")
    )


def _kind(name: str, folder: Path, manifest: JsonRow) -> str:
    """The stage's kind: what the manifest says, else its name, else the files that it left."""
    for said in (text(manifest, "kind"), name, name.split("-")[0]):
        if said in KINDS:
            return said
    for kind, files in _MARKS.items():
        if any((folder / file).is_file() for file in files):
            return kind
    return "other"


def _by_step(rows: list[JsonRow]) -> tuple[list[JsonRow], int]:
    """Rows with a step, one per step (the last written wins), ascending; rows without one keep their order."""
    stepped = {step: row for row in rows if (step := num(row, "step")) is not None}
    plain = [row for row in rows if num(row, "step") is None]
    return plain + [stepped[step] for step in sorted(stepped)], len(rows) - len(plain) - len(stepped)


def parents(stage: Stage) -> list[str]:
    """Return the names of the stages that this one consumed."""
    return [name for name in listing(stage.manifest, "parent") if isinstance(name, str)]


def _in_order(stages: list[Stage], planned: list[str]) -> list[Stage]:
    """Pipeline order: the recipe's where it is known, else parents first, then by kind, start and name."""

    def rank(stage: Stage) -> tuple[int, int, float, str]:
        place = planned.index(stage.name) if stage.name in planned else len(planned)
        kind = KINDS.index(stage.kind) if stage.kind in KINDS else len(KINDS)
        return place, kind, stage.started.timestamp() if stage.started else float("inf"), stage.name

    waiting, ordered = sorted(stages, key=rank), list[Stage]()
    while waiting:
        open_names = {stage.name for stage in waiting}
        ready = [s for s in waiting if not (open_names - {s.name}).intersection(parents(s))] or waiting
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def _run_recipe(folder: Path) -> JsonRow:
    """Return the run's resolved recipe, {} where it does not lie beside the stages."""
    found = load_json(folder / "recipe.json")
    return found if isinstance(found, dict) else {}


def _note(recipe: JsonRow, stages: list[Stage]) -> str:
    """The recipe's note: from the recipe, else from the first stage that was run with one."""
    notes = [text(recipe, "note"), *(text(mapping(stage.manifest, "recipe"), "note") for stage in stages)]
    return next((note for note in notes if note), "")


def _seconds(manifest: JsonRow) -> float | None:
    """The time at work that the manifest counts, else finished - started."""
    if spent := num(manifest, "seconds"):
        return spent if spent > 0 else None
    started, finished = moment(manifest.get("started")), moment(manifest.get("finished"))
    between = (finished - started).total_seconds() if started and finished else -1.0
    return between if between >= 0 else None
