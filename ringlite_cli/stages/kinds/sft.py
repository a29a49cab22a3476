"""sft: Long-CoT SFT on worked traces by TRL's SFTTrainer, with the checkpoints that `select` chooses from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.errors import Interrupted, WorkFailed
from ringlite_cli.recipe.schema import Recipe, SftStage
from ringlite_cli.recipe.tracking import tracker_faults
from ringlite_cli.runs.files import MetricsWriter, cut_jsonl, read_json
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.calls import call_ranks, is_follower
from ringlite_cli.stages.parts.going_on import last_step, marked, marks, rate_note
from ringlite_cli.stages.parts.tracking import tracked
from ringlite_cli.stages.preflight.model import model_is_sound
from ringlite_cli.stages.preflight.room import room_is_enough
from ringlite_cli.stages.preflight.trl_config import sft_config_is_accepted


def run(context: Context) -> StageResult:
    from ringlite_cli.train.base_model import prepare_model
    from ringlite_cli.train.resume.stop import StopFlag
    from ringlite_cli.train.sft.run import run_sft

    section: SftStage = context.section
    recipe, folder = context.recipe, context.folder
    problems = context.problems(section.data)
    if section.policy:
        base = context.policy(section.policy)
    elif is_follower():
        base = folder / "base"  # rank 0 has made it
    else:
        base = prepare_model(recipe.model, problems, folder / "base", recipe.seed, prompt_suffix=recipe.prompt_suffix)
    call_ranks(context.run, context.name)
    epochs = section.trl_value("num_train_epochs")
    progress = context.console.progress(f"{context.name}: epoch", epochs)
    with progress as bar, StopFlag() as stop, tracked(context) as trl:
        changed = marks(folder)
        rows = _Rows(
            folder / "metrics.jsonl", changed, lambda row: bar.update(row["epoch"], epochs, f"loss {row['loss']:.3f}")
        )
        result = run_sft(
            base,
            problems,
            folder,
            trl=trl,
            prompt_suffix=recipe.prompt_suffix,
            checkpoints_per_epoch=section.checkpoints_per_epoch,
            seed=recipe.seed,
            dtype=recipe.model.dtype,
            attn_implementation=recipe.model.attn_implementation,
            on_step=rows.append,
            callbacks=[stop],
        )
    if not result.finished:
        if stop.stopped:
            raise Interrupted(f"stopped after step {result.steps}; the same command goes on from there")
        raise WorkFailed(f"the training ended after step {result.steps}, before its last", where=str(folder))
    checkpoints = read_json(folder / "checkpoints.json")
    last = folder / checkpoints[-1]["path"]
    return StageResult(
        outputs={
            **({} if section.policy else {"base": base}),
            "policy": last,
            "checkpoints": folder / "checkpoints.json",
            **{entry["name"]: folder / entry["path"] for entry in checkpoints},
        },
        tokens={"trained": result.tokens_trained},
        metrics={"loss": checkpoints[-1]["loss"], "checkpoints": len(checkpoints)},
        summary=f"{len(checkpoints)} checkpoints, {result.tokens_trained:,} tokens trained",
    )


class _Rows:
    """metrics.jsonl of the stage; going on after a stop, rows of steps that are trained again are replaced."""

    def __init__(
        self, path: Path, changed: Mapping[int, Mapping[str, Any]], show: Callable[[dict[str, Any]], None]
    ) -> None:
        self._path, self._changed, self._show = path, changed, show
        self._writer: MetricsWriter | None = None

    def append(self, row: dict[str, Any]) -> None:
        if self._writer is None:
            cut_jsonl(self._path, lambda old: old["step"] < row["step"])
            self._writer = MetricsWriter(self._path)
        self._writer.append(marked(row, self._changed))
        self._show(row)


def faults(recipe: Recipe, name: str) -> list[str]:
    """Trackers that are not known or not installed."""
    section = recipe.stages[name]
    assert isinstance(section, SftStage)
    return tracker_faults(section.trl)


STAGE = StageKind(
    kind="sft",
    summary="Long-CoT SFT on worked traces",
    section=SftStage,
    artifacts={
        "base": "the model before SFT, HF folder",
        "policy": "the last checkpoint",
        "checkpoints": "the list of checkpoints",
        "checkpoint-<step>": "a checkpoint, HF folder",
    },
    code=(
        "problems.py",
        "models",
        "c3po/attention.py",
        "c3po/packing.py",
        *(f"train/{name}" for name in ("base_model.py", "devices.py", "resume", "sft", "step_rows.py")),
        "stages/kinds/sft.py",
    ),
    uses=("model", "prompt_suffix"),
    run=run,
    faults=faults,
    preflight=(
        model_is_sound,
        sft_config_is_accepted,
        room_is_enough,
    ),
    step_of=lambda folder: last_step(folder / "trainer"),
    note_of=rate_note,
)
