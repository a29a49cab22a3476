"""reward-model: a small classifier that scores responses, trained on pairs of a better and a worse one."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringlite_cli.data.pairs import Pair, Pairs, load_pairs, local_files
from ringlite_cli.errors import Interrupted, UserError, WorkFailed
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import Recipe, RewardModelStage
from ringlite_cli.recipe.scoring import OUTPUT
from ringlite_cli.recipe.tracking import tracker_faults
from ringlite_cli.runs.files import read_jsonl, write_json, write_jsonl, write_text
from ringlite_cli.shares import in_percent
from ringlite_cli.stages.base import Check, Context, StageKind, StageResult
from ringlite_cli.stages.calls import call_ranks, is_follower
from ringlite_cli.stages.kinds.sft import chat_options, template_faults
from ringlite_cli.stages.parts.going_on import StepRows, last_ranks, last_step, marks, rate_note, steps_asked
from ringlite_cli.stages.parts.judging import with_judge
from ringlite_cli.stages.parts.local_models import model_files
from ringlite_cli.stages.parts.made_pairs import make_pairs, read_part
from ringlite_cli.stages.parts.tracking import tracked
from ringlite_cli.whole import remove

if TYPE_CHECKING:
    from ringlite_cli.train.reward_model.run import RewardModelResult
    from ringlite_cli.train.reward_model.samples import PairSamples

PAIRS, ACCOUNT, HELD_OUT, PLOT = "pairs.jsonl", "pairs.json", "held_out.json", "calibration.svg"


def run(context: Context) -> StageResult:
    from ringlite_cli.train.resume.stop import StopFlag
    from ringlite_cli.train.reward_model.run import refuse_sharding, run_reward_model

    section: RewardModelStage = context.section
    recipe, folder = context.recipe, context.folder
    refuse_sharding()
    if not is_follower():
        _write_pairs(context)
    base = _base(context)
    call_ranks(context.run, context.name)
    trained, held_out = _samples(context, base)
    epochs = section.trl_value("num_train_epochs")
    progress = context.console.progress(f"{context.name}: epoch", epochs)
    with progress as bar, StopFlag() as stop, tracked(context) as trl:

        def tell(row: dict[str, Any]) -> None:
            said = f"loss {row['loss']:.3f}, accuracy {in_percent(row['accuracy'] or 0)} %"
            bar.update(row["epoch"], epochs, said, share=min(1.0, row["epoch"] / epochs))

        result = run_reward_model(
            base,
            trained,
            folder,
            trl=trl,
            seed=recipe.seed,
            dtype=recipe.model.dtype,
            attn_implementation=recipe.model.attn_implementation,
            on_step=StepRows(folder / "metrics.jsonl", marks(folder), tell).append,
            callbacks=[stop],
        )
    if not result.finished:
        if stop.stopped:
            raise Interrupted(f"stopped after step {result.steps}; the same command goes on from there")
        raise WorkFailed(f"the training ended after step {result.steps}, before its last", where=str(folder))
    return StageResult({}) if is_follower() else _left_by(context, result, trained, held_out)


def _left_by(
    context: Context, result: "RewardModelResult", trained: "PairSamples", held_out: "PairSamples"
) -> StageResult:
    """Score the held-out pairs with what was saved, as RL will score, and tell how that went."""
    from ringlite_cli.evals.calibration import held_out_numbers
    from ringlite_cli.evals.plot import calibration_svg
    from ringlite_cli.rewards.reward_model import RewardModel, device_here

    folder = context.folder
    margins: list[float] = []
    if len(held_out):
        model = RewardModel(str(result.folder), device_here())
        better, worse = model.scores(held_out.chosen), model.scores(held_out.rejected)
        margins = [a.logit - b.logit for a, b in zip(better, worse, strict=True)]
    numbers = held_out_numbers(margins)
    write_json(folder / HELD_OUT, numbers | {"margins": margins})
    write_text(folder / PLOT, calibration_svg(numbers))
    return with_judge(
        context,
        StageResult(
            outputs={
                OUTPUT: result.folder,
                "pairs": folder / PAIRS,
                "held_out": folder / HELD_OUT,
                "plot": folder / PLOT,
            },
            rows={"pairs": len(read_jsonl(folder / PAIRS))},
            tokens={"trained": result.tokens_trained},
            metrics={
                "pairs": len(trained),
                **{name: numbers.get(name) for name in ("accuracy", "ci95", "calibration_error", "brier")},
                "pairs_held_out": numbers["pairs"],
            },
            summary=f"{len(trained):,} pairs trained, {_accuracy(numbers)}",
            warning=_warning(numbers),
            when_done=lambda: remove(folder / "base"),
        ),
    )


def _accuracy(numbers: dict[str, Any]) -> str:
    if numbers["accuracy"] is None:
        return "none held out"
    low, high = numbers["ci95"]
    return (
        f"accuracy {in_percent(numbers['accuracy'], 1)} % on {numbers['pairs']:,} held-out pairs "
        f"(95 %: {100 * low:.1f} to {100 * high:.1f})"
    )


def _warning(numbers: dict[str, Any]) -> str:
    if numbers["accuracy"] is None:
        return "no pair is held out, so that nothing tells how good the reward model is; give more pairs"
    if numbers["ci95"][0] <= 0.5:
        return f"held-out pairs do not show that the reward model is better than a coin: {_accuracy(numbers)}"
    return ""


def _write_pairs(context: Context) -> None:
    """Write the pairs of the stage, each marked as trained or held out, and what was counted on the way."""
    section: RewardModelStage = context.section
    found = load_pairs(section.data) if section.data else make_pairs(context)
    kept = Pairs(rows=found.rows, left_out=found.left_out, unreadable=found.unreadable, why=found.why)
    for pair in found.pairs:
        rewards = context.recipe.rewards
        kept.add(replace(pair, chosen=read_part(pair.chosen, rewards), rejected=read_part(pair.rejected, rewards)))
    account = {"rows": kept.rows, "pairs": len(kept.pairs), "unreadable": kept.unreadable, "left_out": kept.left_out}
    write_json(context.folder / ACCOUNT, account)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in kept.left_out.items())
    if kept.unreadable:
        context.console.warn(f"{kept.unreadable} of {kept.rows} rows can't be read; {kept.why}")
    if not kept.pairs:
        raise UserError(
            f"none of {kept.rows:,} pairs is left ({reasons or 'there was none'})",
            where=f"stages.{context.name}",
            hint="take policies that differ more, or more responses" if section.pairs else "look at the rows",
        )
    if reasons:
        context.console.say(f"  {kept.left_out.total():,} of {kept.rows:,} pairs left out: {reasons}")
    held = _held_out(kept.pairs, section.held_out, context.recipe.seed)
    write_jsonl(
        context.folder / PAIRS,
        [
            {"prompt": list(p.asked), "chosen": p.chosen, "rejected": p.rejected, "held_out": _key(p) in held}
            for p in kept.pairs
        ],
    )


def _held_out(pairs: Sequence[Pair], share: float, seed: int) -> set[str]:
    """Prompts whose pairs are held out: no prompt is both trained and held out. At least one, where there are two."""
    prompts = sorted({_key(pair) for pair in pairs})
    random.Random(seed).shuffle(prompts)
    count = min(len(prompts) - 1, max(1, round(share * len(prompts))))
    return set(prompts[:count])


def _key(pair: Pair) -> str:
    return json.dumps(pair.asked, ensure_ascii=False)


def _base(context: Context) -> Path:
    """Return the folder of the model to start from: an earlier stage's, or the recipe's, made by the first rank."""
    from ringlite_cli.train.base_model import prepare_model

    recipe, base = context.recipe, context.folder / "base"
    if context.section.policy:
        return context.policy(context.section.policy)
    if is_follower():
        return base
    texts = [
        Problem(str(n), "general", row["prompt"][-1]["content"], trace=f"{row['chosen']}\n{row['rejected']}")
        for n, row in enumerate(read_jsonl(context.folder / PAIRS))
    ]
    return prepare_model(recipe.model, texts, base, recipe.seed, prompt_suffix={}, chat=chat_options(recipe))


def _samples(context: Context, base: Path) -> "tuple[PairSamples, PairSamples]":
    """The tokens of the pairs that are trained, and of those held out."""
    from transformers import AutoTokenizer

    from ringlite_cli.models import register
    from ringlite_cli.train.reward_model.run import limit_of
    from ringlite_cli.train.reward_model.samples import check_left_out, pair_samples

    register()
    section: RewardModelStage = context.section
    tokenizer, limit = AutoTokenizer.from_pretrained(str(base)), limit_of(base, section.trl.get("max_length"))
    rows = read_jsonl(context.folder / PAIRS)
    parts = []
    for held_out in (False, True):
        given = [(row["prompt"], row["chosen"], row["rejected"]) for row in rows if row["held_out"] == held_out]
        parts.append(pair_samples(tokenizer, given, limit, truncate=section.truncate))
        if parts[-1].left_out and not is_follower():
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in parts[-1].left_out.items())
            part = "held out" if held_out else "trained"
            context.console.say(f"  {part}: of {len(given):,} pairs left out: {reasons}")
        if not held_out:
            check_left_out(parts[-1], len(given), limit, section.max_left_out, f"stages.{context.name}")
    return parts[0], parts[1]


def faults(recipe: Recipe, name: str) -> list[str]:
    """Trackers that are not known or not installed; a chat template that can't be read."""
    section = recipe.stages[name]
    assert isinstance(section, RewardModelStage)
    return [*tracker_faults(section.trl), *template_faults(recipe.chat_template)]


def _files(context: Context) -> dict[str, Path | None]:
    """The files that a chat template and pairs are read from."""
    template, data = context.recipe.chat_template, context.section.data
    files: dict[str, Path | None] = {}
    if template and "{" not in template:
        files["chat_template"] = Path(template).expanduser()
    if data is not None:
        try:
            files |= {f"data/{path.name}": path for path in local_files(data)}
        except UserError:  # none there; the stage says so when it reads them
            files["data"] = None
    return files


def _models(context: Context) -> dict[str, Path]:
    """Return what the model that it starts from is taken from."""
    return {} if context.section.policy else model_files(context.recipe.model)


_TRAIN = (
    *("base_model.py", "devices.py", "epoch_order.py", "filled_batches.py", "finite.py", "liger.py"),
    *("resume", "reward_model", "step_rows.py", "sums.py"),
)
"""What it uses of the room of training."""


def _preflight() -> tuple[Check, ...]:
    from ringlite_cli.stages.preflight.attention import attention_is_installed
    from ringlite_cli.stages.preflight.engine import engine_of_pairs_is_there
    from ringlite_cli.stages.preflight.model import model_is_sound
    from ringlite_cli.stages.preflight.reward_model import can_become_a_reward_model, pairs_can_be_had
    from ringlite_cli.stages.preflight.room import gpus_are_alike, room_is_enough
    from ringlite_cli.stages.preflight.trl_config import training_config_is_accepted

    return (
        model_is_sound,
        can_become_a_reward_model,
        pairs_can_be_had,
        engine_of_pairs_is_there,
        training_config_is_accepted,
        attention_is_installed,
        gpus_are_alike,
        room_is_enough,
    )


STAGE = StageKind(
    kind="reward-model",
    summary="train a reward model on pairs of responses",
    section=RewardModelStage,
    artifacts={
        OUTPUT: "the reward model, HF folder of a classifier with one score",
        "pairs": "the pairs, trained and held out",
        "held_out": "accuracy and calibration on held-out pairs",
        "plot": "how often it is right, over how sure it is",
    },
    code=(
        "problems.py",
        "chat",
        "models",
        "c3po/kernel_choice.py",
        "c3po/varlen_kernels.py",
        "data/pairs.py",
        *(f"train/{name}" for name in _TRAIN),
        "rewards/reward_model.py",
        "evals/calibration.py",
        "stages/kinds/reward_model.py",
        "stages/parts/made_pairs.py",
    ),
    uses=("model", "prompt_suffix", "rewards", "chat_template", "chat_template_kwargs", "end_token"),
    files=_files,
    models=_models,
    run=run,
    faults=faults,
    more_code=lambda section: ("evals", "sampling", "rewards", "sandbox") if section.pairs else (),
    preflight=_preflight,
    draws=lambda section: section.pairs is not None,
    step_of=lambda folder: last_step(folder / "trainer"),
    steps_of=lambda section, folder: steps_asked(section, folder / "trainer"),
    ranks_of=lambda folder: last_ranks(folder / "trainer"),
    note_of=rate_note,
    revisions=("a step's loss is the mean over its pairs, each once an epoch on any number of ranks",),
)
