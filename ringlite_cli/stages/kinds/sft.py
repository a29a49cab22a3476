"""sft: Long-CoT SFT on worked traces by TRL's SFTTrainer, with the checkpoints that `select` chooses from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringlite_cli.chat.templates import ChatOptions, template_fault, template_text
from ringlite_cli.errors import Interrupted, UserError, WorkFailed
from ringlite_cli.problems import Problem, write_problems
from ringlite_cli.recipe.schema import Recipe, SftStage
from ringlite_cli.recipe.tracking import tracker_faults
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.stages.base import Check, Context, StageKind, StageResult
from ringlite_cli.stages.calls import call_ranks, is_follower
from ringlite_cli.stages.parts.going_on import StepRows, last_ranks, last_step, marks, rate_note, steps_asked
from ringlite_cli.stages.parts.local_models import model_files
from ringlite_cli.stages.parts.tracking import tracked

if TYPE_CHECKING:
    from ringlite_cli.train.sft.run import SftResult
    from ringlite_cli.train.sft.samples import Limits

SAMPLES = "samples.json"
TRACES = "traces"


def run(context: Context) -> StageResult:
    from ringlite_cli.train.resume.stop import StopFlag
    from ringlite_cli.train.sft.run import run_sft

    section: SftStage = context.section
    recipe, folder = context.recipe, context.folder
    problems, read = problems_of(context)
    base = _base(context, problems)
    call_ranks(context.run, context.name)
    epochs = section.trl_value("num_train_epochs")
    progress = context.console.progress(f"{context.name}: epoch", epochs)
    with progress as bar, StopFlag() as stop, tracked(context) as trl:
        changed = marks(folder)

        def tell(row: dict[str, Any]) -> None:
            bar.update(row["epoch"], epochs, f"loss {row['loss']:.3f}", share=row["epoch"] / epochs)

        rows = StepRows(folder / "metrics.jsonl", changed, tell)
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
            packing=section.packing,
            on_step=rows.append,
            callbacks=[stop],
            thinking=recipe.thinking,
            truncate=section.truncate,
            max_left_out=section.max_left_out,
            on_samples=lambda account: _tell(context, read | account, problems),
        )
    if not result.finished:
        if stop.stopped:
            raise Interrupted(f"stopped after step {result.steps}; the same command goes on from there")
        raise WorkFailed(f"the training ended after step {result.steps}, before its last", where=str(folder))
    return _left_by(context, base, result)


def _base(context: Context, problems: Sequence[Problem]) -> Path:
    """Return the folder of the model to train: an earlier stage's, or the recipe's, made ready by the first rank."""
    from ringlite_cli.train.base_model import prepare_model

    recipe, base = context.recipe, context.folder / "base"
    if context.section.policy:
        return context.policy(context.section.policy)
    if is_follower():
        return base
    return prepare_model(
        recipe.model, problems, base, recipe.seed, prompt_suffix=recipe.prompt_suffix, chat=chat_options(recipe)
    )


def _left_by(context: Context, base: Path, result: "SftResult") -> StageResult:
    section, folder = context.section, context.folder
    checkpoints = read_json(folder / "checkpoints.json")
    last = folder / checkpoints[-1]["path"]
    return StageResult(
        outputs={
            **({} if section.policy else {"base": base}),
            "policy": last,
            "checkpoints": folder / "checkpoints.json",
            "samples": folder / SAMPLES,
            **({} if isinstance(section.data, str) else {TRACES: folder / f"{TRACES}.parquet"}),
            **{entry["name"]: folder / entry["path"] for entry in checkpoints},
        },
        tokens={"trained": result.tokens_trained},
        metrics={
            "loss": checkpoints[-1]["loss"],
            "checkpoints": len(checkpoints),
            "packing": result.packing,
            "samples": _counted(folder),
        },
        summary=f"{len(checkpoints)} checkpoints, {result.tokens_trained:,} tokens trained",
    )


def chat_options(recipe: Recipe) -> ChatOptions:
    """Return how a recipe asks its model."""
    return ChatOptions(recipe.chat_template, recipe.chat_template_kwargs, recipe.end_token, recipe.thinking)


def limits_of(section: SftStage, context: int | None) -> "Limits":
    """Return what a sample of the stage may be. context: positions of the model."""
    from ringlite_cli.train.sft.samples import Limits

    return Limits(context, section.trl.get("max_length"), section.truncate, section.max_left_out)


def problems_of(context: Context) -> tuple[list[Problem], dict[str, int]]:
    """Return the stage's problems and what was counted when they were read: a curated set, or traces from outside."""
    data = context.section.data
    if isinstance(data, str):
        return context.problems(data), {}
    from ringlite_cli.data.traces import load_traces

    traces = load_traces(data, context.recipe.seed)
    if traces.unreadable and not is_follower():
        context.console.warn(f"{traces.unreadable} of {traces.rows} rows can't be read; {traces.why}")
    if not traces.problems:
        raise UserError(
            f"none of {traces.rows} rows has a trace",
            where=f"stages.{context.name}.data",
            hint="name the column of the responses: columns: {prompt: ..., trace: ...}",
        )
    return traces.problems, traces.account()


def _tell(context: Context, account: dict[str, Any], problems: Sequence[Problem]) -> None:
    """Keep what was counted of the samples, and say what a user has to know."""
    from ringlite_cli.train.sft.samples import said

    write_json(context.folder / SAMPLES, account)
    if not isinstance(context.section.data, str):
        write_problems(context.folder / f"{TRACES}.parquet", problems)
    for line in said(account):
        context.console.say(f"  {line}")


def _counted(folder: Path) -> dict[str, Any]:
    return {name: value for name, value in read_json(folder / SAMPLES).items() if name != "shown"}


def faults(recipe: Recipe, name: str) -> list[str]:
    """Trackers that are not known or not installed; a chat template that can't be read."""
    section = recipe.stages[name]
    assert isinstance(section, SftStage)
    return [*tracker_faults(section.trl), *template_faults(recipe.chat_template)]


def template_faults(template: str) -> list[str]:
    """Return what is wrong with a recipe's chat template, each as `key: what; what next`."""
    try:
        fault = template_fault(template_text(template)) if template else ""
    except UserError as error:
        return [f"chat_template: {error.what}; {error.hint}"]
    return [f"chat_template: not a Jinja template ({fault})"] if fault else []


def _files(context: Context) -> dict[str, Path | None]:
    """The files that a chat template and traces from outside are read from."""
    template, data = context.recipe.chat_template, context.section.data
    files: dict[str, Path | None] = {}
    if template and "{" not in template:
        files["chat_template"] = Path(template).expanduser()
    if not isinstance(data, str):
        from ringlite_cli.data.sources import local_files
        from ringlite_cli.data.traces import source_of

        try:
            files |= {f"data/{path.name}": path for path in local_files(source_of(data))}
        except UserError:  # none there; the stage says so when it reads them
            files["data"] = None
    return files


def _models(context: Context) -> dict[str, Path]:
    """Return what the model before SFT is taken from."""
    return {} if context.section.policy else model_files(context.recipe.model)


_C3PO = (
    *("__init__", "attention", "kernel_choice", "packing", "router", "routing", "row_path", "shrunk", "unpacked"),
    "varlen_kernels",
)
"""What SFT uses of the room of C3PO: how packed rows are run."""
_TRAIN = (
    *("base_model.py", "devices.py", "epoch_order.py", "filled_batches.py", "finite.py", "float32_head.py"),
    *("liger.py", "read_once.py", "resume", "sft", "sharded.py", "step_rows.py", "sums.py"),
)
"""What SFT uses of the room of training."""


def _preflight() -> tuple[Check, ...]:
    from ringlite_cli.stages.preflight.attention import attention_is_installed
    from ringlite_cli.stages.preflight.data import traces_can_be_read
    from ringlite_cli.stages.preflight.model import model_is_sound
    from ringlite_cli.stages.preflight.room import gpus_are_alike, room_is_enough
    from ringlite_cli.stages.preflight.trl_config import training_config_is_accepted

    return (
        model_is_sound,
        traces_can_be_read,
        training_config_is_accepted,
        attention_is_installed,
        gpus_are_alike,
        room_is_enough,
    )


STAGE = StageKind(
    kind="sft",
    summary="Long-CoT SFT on worked traces",
    section=SftStage,
    artifacts={
        "base": "the model before SFT, HF folder",
        "policy": "the last checkpoint",
        "checkpoints": "the list of checkpoints",
        "traces": "with data from outside: the problems that were read",
        "samples": "what was counted of the samples, and the first of them",
        "checkpoint-<step>": "a checkpoint, HF folder",
    },
    code=(
        "problems.py",
        "chat",
        "models",
        *(f"c3po/{name}.py" for name in _C3PO),
        *(f"train/{name}" for name in _TRAIN),
        "stages/kinds/sft.py",
    ),
    uses=("model", "prompt_suffix", "chat_template", "chat_template_kwargs", "end_token", "thinking"),
    files=_files,
    models=_models,
    run=run,
    faults=faults,
    preflight=_preflight,
    step_of=lambda folder: last_step(folder / "trainer"),
    steps_of=lambda section, folder: steps_asked(section, folder / "trainer"),
    ranks_of=lambda folder: last_ranks(folder / "trainer"),
    note_of=rate_note,
    revisions=("plain general traces that mark no result stand behind an empty thought where the template thinks",),
)
