"""A reward model by TRL's RewardTrainer: a classifier of sequences with one score, trained on pairs (Bradley-Terry).

How this differs from a bare RewardTrainer:
1. Texts are rendered and tokenized as they are when the model scores in RL: special tokens that a response spells out
   are text, and a pair that does not fit is counted, or cut where the recipe asks for it.
2. Scores are drawn towards a mean of zero (center_rewards_coefficient), so that 0 is neither good nor bad.
3. The loss of a step is the mean over its pairs, and on several ranks each pair is trained once an epoch (`trainer`).
4. An interrupted training goes on from its last sealed checkpoint, to the same weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringlite_cli.errors import UserError, first_line
from ringlite_cli.freeing import import_apart
from ringlite_cli.models import register
from ringlite_cli.models.number_formats import learned_finely
from ringlite_cli.overlooked import Overlooked
from ringlite_cli.presence import is_folder, is_there
from ringlite_cli.recipe.trl_defaults import OURS
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.runs.sharding import launched_sharded
from ringlite_cli.train.base_model import compute_dtype, context_of, save_plain, written_dtype
from ringlite_cli.train.devices import check_gpus, on_one_gpu
from ringlite_cli.train.liger import liger_for_one_training
from ringlite_cli.train.resume.agreed import check_same, seen_here
from ringlite_cli.train.resume.checkpoints import last_or_afresh
from ringlite_cli.train.resume.training import total_steps, train_from_last
from ringlite_cli.train.reward_model.recorder import OnStep, PairRecorder
from ringlite_cli.train.reward_model.samples import PairSamples
from ringlite_cli.train.reward_model.trainer import trainer_class
from ringlite_cli.whole import remove, whole

if TYPE_CHECKING:
    from trl import RewardTrainer

FACTS = "ringlite.json"


@dataclass(frozen=True, slots=True)
class RewardModelResult:
    """folder: the reward model, where the training has ended. tokens_trained: of all texts, over all steps."""

    folder: Path
    steps: int
    finished: bool
    tokens_trained: int = 0


@liger_for_one_training()
def run_reward_model(
    base: Path,
    samples: PairSamples,
    out_dir: Path,
    *,
    trl: Mapping[str, Any],
    seed: int = 0,
    dtype: str | None = None,
    attn_implementation: str | None = None,
    on_step: OnStep | None = None,
    callbacks: Sequence[Any] = (),
    resume: bool = True,
) -> RewardModelResult:
    """Train a score head on `base`, and all its weights, by pairs; write `reward_model/` under `out_dir`.

    trl: fields of RewardConfig. callbacks: further transformers callbacks, for example one that stops the run; the
    result then says finished=False, and the same call goes on where it stopped.
    Raises UserError for settings that TRL refuses, and for models without a classifier; Diverged for a bad gradient.
    """
    from accelerate import PartialState

    refuse_sharding()
    register()
    out_dir = Path(out_dir)
    own = {"bf16": compute_dtype(base, dtype) == "bfloat16"}
    args = reward_config({**own, **trl}, out_dir / "trainer", seed)
    check_gpus(PartialState())
    check_same(seen_here(base, (), {**trl, "pairs": (samples.chosen, samples.rejected)}), PartialState())
    with Overlooked(base):
        trainer = _trainer(base, samples, args, attn_implementation)
    total = total_steps(trainer)
    folder = out_dir / "reward_model"
    if resume and (facts := _facts(folder)).get("step") == total:
        return RewardModelResult(folder, total, True, facts.get("tokens_trained", 0))
    recorder = PairRecorder(trainer, on_step)
    prepare = partial(_prepare_folder, out_dir, resume, trainer.args.world_size, total)
    train_from_last(trainer, prepare, (recorder, *callbacks))
    steps = int(trainer.state.global_step)
    if steps < total:
        return RewardModelResult(folder, steps, False, recorder.tokens)
    _save(trainer, folder, written_dtype(base, dtype), {"step": steps, "tokens_trained": recorder.tokens})
    return RewardModelResult(folder, steps, True, recorder.tokens)


def refuse_sharding() -> None:
    """Raise UserError under a launcher that shares weights out (FSDP2): reward models train whole on each rank."""
    if launched_sharded():
        raise UserError(
            "a reward model is trained whole on each rank, and this launch shares weights out (FSDP2)",
            where="the launcher's configuration",
            hint="run this stage without a launcher, or by `ringlite launcher ddp`; the others go on by FSDP2",
        )


def limit_of(base: Path | str, max_length: int | None) -> int | None:
    """Return the tokens that a text may have: of the recipe, and of the model's positions."""
    return min((n for n in (context_of(base), max_length) if n), default=None)


def reward_config(trl: Mapping[str, Any], folder: Path | str, seed: int) -> Any:
    """Return the RewardConfig: the recipe's fields over our defaults. Raises UserError where TRL refuses them."""
    import torch
    from trl import RewardConfig

    ours: dict[str, Any] = {**OURS["RewardConfig"], "gradient_checkpointing": torch.cuda.is_available()}
    fixed: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "save_strategy": "steps",
        "disable_tqdm": True,
        "max_length": None,  # the samples fit already
    }
    if not torch.cuda.is_available():
        fixed["use_cpu"] = True
    try:
        return on_one_gpu(RewardConfig(**(ours | dict(trl) | fixed)))
    except (TypeError, ValueError) as error:
        what = f"TRL refuses these settings ({first_line(error)})"
        raise UserError(what, where="reward-model.trl") from None


def _trainer(base: Path, samples: PairSamples, args: Any, attn_implementation: str | None) -> "RewardTrainer":
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from transformers.utils import logging

    logging.disable_progress_bar()
    set_seed(args.seed)  # the new head is drawn at random
    import_apart("trl.trainer.reward_trainer")
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    try:
        with suppress_seqcls_warning():
            model = AutoModelForSequenceClassification.from_pretrained(
                str(base), dtype=torch.float32, num_labels=1, attn_implementation=attn_implementation
            )
    except ValueError as error:
        raise UserError(
            f"no reward model can be made of this model ({first_line(error)})",
            where=str(base),
            hint="start from one that transformers has a classifier of sequences for (llama, qwen2, qwen3 ...)",
        ) from None
    rows = Dataset.from_dict({"chosen_ids": samples.chosen, "rejected_ids": samples.rejected})
    trainer = trainer_class()(
        model=model, args=args, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(str(base))
    )
    if len(trainer.train_dataset) != len(samples):
        raise UserError("TRL left out some of the pairs", where="reward-model.trl", hint="leave max_length to ringlite")
    return trainer


def _prepare_folder(out_dir: Path, resume: bool, ranks: int, steps: int) -> tuple[Path, int] | None:
    """As last_or_afresh; a reward model of other steps goes."""
    last = last_or_afresh(out_dir / "trainer", resume=resume, ranks=ranks, steps=steps, more="epochs or steps")
    remove(out_dir / "reward_model")
    return last


def _save(trainer: Any, folder: Path, dtype: str, facts: dict[str, Any]) -> None:
    """Write the reward model whole, then remove the trainer's own checkpoints."""
    if trainer.args.process_index == 0:
        network = trainer.accelerator.unwrap_model(trainer.model)
        with whole(folder, folder=True) as partial_folder:
            by_chance = learned_finely(network, trainer.accelerator)
            save_plain(network, trainer.processing_class, partial_folder, dtype, by_chance=by_chance)
            write_json(partial_folder / FACTS, facts)
        remove(folder.parent / "trainer")
    trainer.accelerator.wait_for_everyone()


def _facts(folder: Path) -> dict[str, Any]:
    """What a finished training left beside its weights; {} where there is none."""
    if not is_folder(folder) or not is_there(folder / FACTS):
        return {}
    facts: dict[str, Any] = read_json(folder / FACTS)
    return facts
