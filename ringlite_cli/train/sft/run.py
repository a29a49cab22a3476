"""Long-CoT SFT (§4.2) by TRL's SFTTrainer: packed rows, loss on the responses only, checkpoints to choose among.

How this differs from a bare SFTTrainer:
1. Packing never lets a sample see its neighbours in a row; a model that would is run sample by sample. TRL's `bfd`
   packing drops the attention mask and restarts position ids at every sample, from which transformers builds a
   block-diagonal mask ("wrapped" packing has no such borders and is refused).
2. Tokens that carry loss are counted over the whole run, also across an interruption: the x axis of checkpoint
   selection, and the SFT side of the token account.
3. On several ranks every row is trained once an epoch (`each_once`).
4. Checkpoints for later stages are plain Hugging Face folders, apart from the trainer's own, which hold the optimizer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringlite_cli.chat.thinking import Thinking
from ringlite_cli.chat.training import SampleMaker
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.freeing import import_apart
from ringlite_cli.models import register
from ringlite_cli.models.experts import name_experts
from ringlite_cli.overlooked import Overlooked
from ringlite_cli.presence import is_folder, is_there
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.c3po import Packing
from ringlite_cli.recipe.trl_defaults import OURS
from ringlite_cli.recipe.trl_fields import trl_default
from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.sharding import launched_sharded
from ringlite_cli.train.base_model import compute_dtype, context_of, written_dtype
from ringlite_cli.train.devices import check_gpus, on_one_gpu
from ringlite_cli.train.epoch_order import OrderedByEpoch
from ringlite_cli.train.finite import FiniteGradients
from ringlite_cli.train.float32_head import float32_head
from ringlite_cli.train.liger import liger_for_one_training
from ringlite_cli.train.read_once import read_once_if_sharded
from ringlite_cli.train.resume.agreed import check_same, seen_here
from ringlite_cli.train.resume.checkpoints import last_or_afresh, load_weights, start_afresh
from ringlite_cli.train.resume.training import steps_per_epoch, total_steps, train_from_last
from ringlite_cli.train.sft.aux_loss import settle_aux_loss
from ringlite_cli.train.sft.each_once import EachRowOnce
from ringlite_cli.train.sft.samples import Limits, Samples, as_dataset, check_rows, make_samples
from ringlite_cli.train.sharded import settle
from ringlite_cli.train.step_rows import mean_over
from ringlite_cli.whole import remove

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTTrainer

OnStep = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class SftResult:
    """checkpoints: the rows of checkpoints.json, in order of training. tokens_trained: tokens that carried loss.

    packing: how the samples of rows were run, in words.
    """

    checkpoints: list[dict[str, Any]]
    tokens_trained: int
    steps: int
    finished: bool
    packing: str = ""


@liger_for_one_training()
def run_sft(
    base: Path,
    problems: Sequence[Problem],
    out_dir: Path,
    *,
    trl: Mapping[str, Any],
    prompt_suffix: Mapping[str, str] | None = None,
    checkpoints_per_epoch: int = 1,
    seed: int = 0,
    dtype: str | None = None,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    packing: Packing = "auto",
    resume: bool = True,
    on_step: OnStep | None = None,
    callbacks: Sequence[Any] = (),
    thinking: Thinking = "auto",
    truncate: bool = False,
    max_left_out: float = 0.1,
    on_samples: Callable[[dict[str, Any]], None] | None = None,
) -> SftResult:
    """Train `base` on the problems' traces; write `checkpoints/` and `checkpoints.json` under `out_dir`.

    trl: fields of SFTConfig. Ours, unless given: packed, loss on responses only, cosine with warm-up. Samples longer
        than its max_length, by default the model's context, are left out; or cut, with `truncate`.
    thinking: what is done with plain traces (ringlite_cli.chat.thinking).   max_left_out: share that may be left out.
    on_samples: gets what was counted of the samples, before training.
    on_step: gets each metrics row. callbacks: further transformers callbacks, for example one that stops the run; the
        result then says finished=False, and the same call goes on where it stopped.
    resume: go on from the last saved step of an interrupted run in `out_dir`.
    Raises UserError for no traces or settings that TRL refuses; WorkFailed when the loss stops being a number.
    """
    from accelerate import PartialState

    from ringlite_cli.train.sft.recorder import Recorder

    out_dir = Path(out_dir)
    with Overlooked(base):
        tokenizer = _tokenizer(base, trust_remote_code)
        limits = Limits(context_of(base, trust_remote_code), trl.get("max_length"), truncate, max_left_out)
    samples = make_samples(problems, SampleMaker(tokenizer, prompt_suffix or {}, thinking), limits, seed)
    own = {"bf16": compute_dtype(base, dtype) == "bfloat16"}
    lengths = {"max_length": _length_of_rows(limits.max_length, samples)}
    args = sft_config({**own, **trl, **lengths}, out_dir / "trainer", seed)
    check_gpus(PartialState())
    check_same(seen_here(base, problems, dict(trl)), PartialState())
    samples.loss_on_prompts = args.completion_only_loss is False
    with Overlooked(base):
        trainer = _trainer(base, as_dataset(samples), args, attn_implementation, trust_remote_code, packing)
    check_rows(trainer.train_dataset, samples)
    if on_samples and args.process_index == 0:
        on_samples(samples.account(limits))
    trainer.saved_dtype = written_dtype(base, dtype)
    total = total_steps(trainer)
    recorder = Recorder(trainer, out_dir, _planned(trainer, total, checkpoints_per_epoch), on_step)
    if resume and (kept := _all_kept(out_dir, total)):
        return SftResult(kept, kept[-1]["tokens_trained"], total, True, _packing(trainer))
    prepare = partial(_prepare_folder, out_dir, resume, trainer.args.world_size, total)
    train_from_last(trainer, prepare, (recorder, *callbacks))
    return _result(trainer, out_dir, total)


def _result(trainer: Any, out_dir: Path, total: int) -> SftResult:
    """Return what was trained; of a finished run, remove the trainer's own checkpoints."""
    steps = int(trainer.state.global_step)
    checkpoints = read_json(out_dir / "checkpoints.json") if is_there(out_dir / "checkpoints.json") else []
    if steps >= total and trainer.args.process_index == 0:
        remove(out_dir / "trainer")
    return SftResult(checkpoints, int(trainer.loss_tokens), steps, steps >= total, _packing(trainer))


def _packing(trainer: Any) -> str:
    """Return in words how the samples of rows are run."""
    return trainer.row_path.in_words() if trainer.row_path else "padded batches"


def _prepare_folder(out_dir: Path, resume: bool, ranks: int, steps: int) -> tuple[Path, int] | None:
    """As last_or_afresh; without a checkpoint, those that were kept for later stages go too."""
    last = last_or_afresh(out_dir / "trainer", resume=resume, ranks=ranks, steps=steps, more="epochs or steps")
    if last is None:
        start_afresh(out_dir / "checkpoints")
        remove(out_dir / "checkpoints.json")
    return last


def _length_of_rows(asked: int | None, samples: Samples) -> int:
    """Return the length of packed rows: the recipe's max_length, else TRL's default or the longest sample."""
    return asked or max(int(trl_default("SFTConfig", "max_length")), samples.longest_kept)


def sft_config(trl: Mapping[str, Any], folder: Path | str, seed: int) -> Any:
    """Return the SFTConfig: the recipe's fields over our defaults. Raises UserError where TRL refuses them."""
    import torch
    from trl import SFTConfig

    _check_choices(trl)
    ours: dict[str, Any] = {**OURS["SFTConfig"], "gradient_checkpointing": torch.cuda.is_available()}
    fixed: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    if not torch.cuda.is_available():
        fixed["use_cpu"] = True
    if trl.get("padding_free") and not trl.get("packing", True):
        fixed["max_length"] = None  # which TRL refuses there; the samples fit already
    try:
        return on_one_gpu(SFTConfig(**(ours | dict(trl) | fixed)))
    except (TypeError, ValueError) as error:
        raise UserError(f"TRL refuses these settings ({str(error).splitlines()[0]})", where="sft.trl") from None


def _check_choices(trl: Mapping[str, Any]) -> None:
    """Raise UserError for fields that SFTConfig takes as they are and the trainer refuses, or does not obey."""
    strategy, loss = trl.get("packing_strategy", "bfd"), trl.get("loss_type", "nll")
    if trl.get("packing", True) and strategy not in ("bfd", "bfd_split"):
        known = "'wrapped' packing lets samples see their neighbours"
        raise UserError(
            known if strategy == "wrapped" else f"TRL knows no packing strategy {strategy!r}",
            where="sft.trl.packing_strategy",
            hint="use bfd or bfd_split, or packing: false",
        )
    if loss not in ("nll", "dft"):
        raise UserError(f"TRL knows no loss {loss!r} for SFT", where="sft.trl.loss_type", hint="use nll or dft")
    if loss == "dft" and trl.get("label_smoothing_factor"):
        raise UserError(
            "the loss 'dft' smooths no labels, so the factor would do nothing",
            where="sft.trl.label_smoothing_factor",
            hint="remove it, or use loss_type: nll",
        )


def _trainer(
    base: Path,
    rows: "Dataset",
    args: Any,
    attn_implementation: str | None = None,
    trust: bool = False,
    packing: Packing = "auto",
) -> "SFTTrainer":
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from ringlite_cli.c3po.row_path import choose_path

    register()
    logging.disable_progress_bar()
    tokenizer = _tokenizer(base, trust)
    sharded = launched_sharded()
    with read_once_if_sharded(base, trust) as in_small:
        model = AutoModelForCausalLM.from_pretrained(
            str(base),
            dtype=torch.float32,
            attn_implementation=attn_implementation,
            trust_remote_code=trust,
        )
        name_experts(model.config)
        settle_aux_loss(model, args)
        path = None
        if _packs(args):
            path = choose_path(
                model,
                packing=packing,
                keep_attention=bool(attn_implementation),
                one_batch=sharded,
                stand_in=in_small if in_small is None else in_small.to(args.device),
            )
        with float32_head("trl.trainer.sft_trainer"):
            trainer = _made(_counting_trainer(), model=model, args=args, train_dataset=rows, processing_class=tokenizer)
        settle(trainer.accelerator, trainer.model)
    trainer.row_path = path
    trainer.tell_lengths()
    return trainer


def _made(trainer: Callable[..., "SFTTrainer"], **given: Any) -> "SFTTrainer":
    """Return the trainer. Raises UserError where it refuses its settings."""
    try:
        return trainer(**given)
    except ValueError as error:
        raise UserError(f"TRL refuses these settings ({first_line(error)})", where="sft.trl") from error


def _tokenizer(base: Path, trust: bool) -> Any:
    from transformers import AutoTokenizer

    register()
    return AutoTokenizer.from_pretrained(str(base), trust_remote_code=trust)


def _packs(args: Any) -> bool:
    return bool(args.padding_free or (args.packing and args.packing_strategy != "wrapped"))


def _counting_trainer() -> type["SFTTrainer"]:
    """Make an SFTTrainer that counts the tokens that carry loss; at use, for TRL is slow to import."""
    import_apart("trl.trainer.sft_trainer")
    from trl import SFTTrainer

    class CountingSFTTrainer(FiniteGradients, OrderedByEpoch, EachRowOnce, SFTTrainer):
        loss_tokens = 0  # over all ranks and all steps of the run
        saved_dtype: str | None = None  # of the checkpoints for later stages
        row_path: Any = None  # how rows are run; None where TRL pads batches itself
        _batches: tuple[int, ...] = ()  # tokens that carry loss in each batch of the step at hand, over all ranks

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if model.training:
                counted = (inputs["labels"][:, 1:] != -100).sum()
                tokens = int(self.accelerator.reduce(counted, reduction="sum"))
                self.loss_tokens += tokens
                self._batches += (tokens,)
            return super().compute_loss(model, inputs, *args, **kwargs)

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            mean_over(self._metrics["train"], ("mean_token_accuracy", "entropy"), self._batches)
            self._batches = ()
            super().log(logs, *args, **kwargs)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            if self.is_fsdp_enabled:
                super()._load_from_checkpoint(resume_from_checkpoint, model)
            else:
                load_weights(self.accelerator.unwrap_model(model or self.model), resume_from_checkpoint)

    return CountingSFTTrainer


def _planned(trainer: "SFTTrainer", total: int, per_epoch: int) -> list[int]:
    """Return the steps after which a checkpoint is kept: every 1/per_epoch of an epoch, and the last."""
    every = steps_per_epoch(trainer) / per_epoch
    steps = {max(1, round(every * i)) for i in range(1, math.ceil(total / every) + 1)}
    return sorted({s for s in steps if s < total} | {total})


def _all_kept(out_dir: Path, total: int) -> list[dict[str, Any]]:
    """Return the rows of checkpoints.json if the last step's checkpoint is there: such a run is over."""
    index = out_dir / "checkpoints.json"
    rows: list[dict[str, Any]] = read_json(index) if is_there(index) else []
    whole = rows and rows[-1]["step"] == total and all(is_folder(out_dir / row["path"]) for row in rows)
    return rows if whole else []
