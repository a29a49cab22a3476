"""Long-CoT SFT (§4.2) by TRL's SFTTrainer: packed rows, loss on the responses only, checkpoints to choose among.

How this differs from a bare SFTTrainer:
1. Packing never lets a sample see its neighbours in a row; a model that would is run sample by sample. TRL's `bfd`
   packing drops the attention mask and restarts position ids at every sample, from which transformers builds a
   block-diagonal mask ("wrapped" packing has no such borders and is refused).
2. Tokens that carry loss are counted over the whole run, also across an interruption: the x axis of checkpoint
   selection, and the SFT side of the token account.
3. Checkpoints for later stages are plain Hugging Face folders, apart from the trainer's own, which hold the optimizer.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringlite_cli.chat.thinking import Thinking
from ringlite_cli.chat.training import SampleMaker
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.freeing import import_apart
from ringlite_cli.models import register
from ringlite_cli.models.experts import name_experts
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.c3po import Packing
from ringlite_cli.recipe.trl_fields import trl_default
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.train.base_model import compute_dtype, context_of, save_plain, written_dtype
from ringlite_cli.train.devices import on_one_gpu
from ringlite_cli.train.finite import FiniteGradients
from ringlite_cli.train.resume.agreed import read_by_one
from ringlite_cli.train.resume.checkpoints import (
    check_ranks,
    last_checkpoint,
    load_weights,
    set_unsound_aside,
    start_afresh,
)
from ringlite_cli.train.sft.samples import Limits, Samples, as_dataset, check_rows, make_samples
from ringlite_cli.whole import remove, whole

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTTrainer

OnStep = Callable[[dict[str, Any]], None]

_STATE = "ringlite_tokens.json"


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
    """Trains `base` on the problems' traces; writes `checkpoints/` and `checkpoints.json` under `out_dir`.

    trl: fields of SFTConfig. Ours, unless given: packed, loss on responses only, cosine with warm-up. Samples longer
        than its max_length, by default the model's context, are left out; or cut, with `truncate`.
    thinking: what is done with plain traces (ringlite_cli.chat.thinking).   max_left_out: share that may be left out.
    on_samples: gets what was counted of the samples, before training.
    on_step: gets each metrics row. callbacks: further transformers callbacks, for example one that stops the run; the
        result then says finished=False, and the same call goes on where it stopped.
    resume: go on from the last saved step of an interrupted run in `out_dir`.
    Raises UserError for no traces or settings that TRL refuses; WorkFailed when the loss stops being a number.
    """
    from transformers import PrinterCallback

    from ringlite_cli.train.resume.keeper import Keeper
    from ringlite_cli.train.resume.new_values import NewValues

    out_dir = Path(out_dir)
    tokenizer = _tokenizer(base, trust_remote_code)
    limits = Limits(context_of(base, trust_remote_code), trl.get("max_length"), truncate, max_left_out)
    samples = make_samples(problems, SampleMaker(tokenizer, prompt_suffix or {}, thinking), limits, seed)
    computed = compute_dtype(base, dtype)
    lengths = {"max_length": _length_of_rows(limits.max_length, samples)}
    args = sft_config({"bf16": computed == "bfloat16", **trl, **lengths}, out_dir / "trainer", seed)
    rows = as_dataset(samples, loss_on_prompts=not args.completion_only_loss)
    trainer = _trainer(base, rows, args, attn_implementation, trust_remote_code, packing)
    check_rows(trainer.train_dataset, samples)
    if on_samples and args.process_index == 0:
        on_samples(samples.account(limits))
    trainer.saved_dtype = written_dtype(base, dtype)
    how = str(trainer.row_path or "padded batches")
    total = _total_steps(trainer)
    recorder = _recorder(trainer, out_dir, _planned(trainer, total, checkpoints_per_epoch), on_step)
    trainer.remove_callback(PrinterCallback)
    for callback in (recorder, *callbacks):
        trainer.add_callback(callback)
    trainer.add_callback(NewValues())
    trainer.add_callback(Keeper(trainer))
    if resume and (kept := _all_kept(out_dir, total)):
        return SftResult(kept, kept[-1]["tokens_trained"], total, True, how)
    last = read_by_one(partial(_prepare_folder, out_dir, resume, args.world_size), trainer.accelerator.state)
    trainer.train(resume_from_checkpoint=str(last[0]) if last else None)
    trainer.accelerator.wait_for_everyone()
    steps = int(trainer.state.global_step)
    checkpoints = read_json(out_dir / "checkpoints.json") if (out_dir / "checkpoints.json").exists() else []
    if steps >= total and args.process_index == 0:
        remove(out_dir / "trainer")
    return SftResult(checkpoints, int(trainer.loss_tokens), steps, steps >= total, how)


def _prepare_folder(out_dir: Path, resume: bool, ranks: int) -> tuple[Path, int] | None:
    """Return the last whole checkpoint with its step; None, with an earlier run set aside, where there is none."""
    set_unsound_aside(out_dir / "trainer")
    last = last_checkpoint(out_dir / "trainer") if resume else None
    if last is None:
        for name in ("trainer", "checkpoints"):
            start_afresh(out_dir / name)
        remove(out_dir / "checkpoints.json")
    else:
        check_ranks(last[0], ranks)
    return last


def _length_of_rows(asked: int | None, samples: Samples) -> int:
    """The length of packed rows: the recipe's max_length, else TRL's default or the longest sample."""
    return asked or max(int(trl_default("SFTConfig", "max_length")), samples.longest_kept)


def sft_config(trl: Mapping[str, Any], folder: Path | str, seed: int) -> Any:
    """Return the SFTConfig: the recipe's fields over our defaults. Raises UserError where TRL refuses them."""
    import torch
    from trl import SFTConfig

    if trl.get("packing", True) and trl.get("packing_strategy", "bfd") == "wrapped":
        raise UserError(
            "'wrapped' packing lets samples see their neighbours",
            where="sft.trl.packing_strategy",
            hint="use bfd or bfd_split, or packing: false",
        )
    ours: dict[str, Any] = {
        "packing": True,
        "completion_only_loss": True,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "logging_steps": 1,
        "report_to": [],
        "gradient_checkpointing": torch.cuda.is_available(),
        "dataset_num_proc": None,
    }
    fixed = {
        "output_dir": str(folder),
        "seed": seed,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    if not torch.cuda.is_available():
        fixed["use_cpu"] = True
    try:
        return on_one_gpu(SFTConfig(**(ours | dict(trl) | fixed)))
    except (TypeError, ValueError) as error:
        raise UserError(f"TRL refuses these settings ({str(error).splitlines()[0]})", where="sft.trl") from None


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
    model = AutoModelForCausalLM.from_pretrained(
        str(base),
        dtype=torch.float32,
        attn_implementation=attn_implementation,
        trust_remote_code=trust,
    )
    name_experts(model.config)
    path = None
    if _packs(args):
        path = choose_path(
            model, packing=packing, keep_attention=bool(attn_implementation), one_batch=_is_sharded(args)
        )
    trainer = _counting_trainer()(model=model, args=args, train_dataset=rows, processing_class=tokenizer)
    trainer.row_path = path
    return trainer


def _tokenizer(base: Path, trust: bool) -> Any:
    from transformers import AutoTokenizer

    register()
    return AutoTokenizer.from_pretrained(str(base), trust_remote_code=trust)


def _packs(args: Any) -> bool:
    return bool(args.padding_free or (args.packing and args.packing_strategy != "wrapped"))


def _is_sharded(args: Any) -> bool:
    return bool(args.fsdp or args.deepspeed or "ACCELERATE_USE_FSDP" in os.environ)


def _counting_trainer() -> type["SFTTrainer"]:
    """SFTTrainer that counts the tokens that carry loss; made at use, for TRL is slow to import."""
    import_apart("trl.trainer.sft_trainer")
    from trl import SFTTrainer

    class CountingSFTTrainer(FiniteGradients, SFTTrainer):
        loss_tokens = 0  # over all ranks and all steps of the run
        saved_dtype: str | None = None  # of the checkpoints for later stages
        row_path: Any = None  # how rows are run; None where TRL pads batches itself

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if model.training:
                counted = (inputs["labels"][:, 1:] != -100).sum()
                self.loss_tokens += int(self.accelerator.reduce(counted, reduction="sum"))
            return super().compute_loss(model, inputs, *args, **kwargs)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                super()._load_from_checkpoint(resume_from_checkpoint, model)
            else:
                load_weights(self.accelerator.unwrap_model(model or self.model), resume_from_checkpoint)

    return CountingSFTTrainer


def _total_steps(trainer: "SFTTrainer") -> int:
    per_epoch = _steps_per_epoch(trainer)
    return (
        trainer.args.max_steps if trainer.args.max_steps > 0 else math.ceil(trainer.args.num_train_epochs * per_epoch)
    )


def _steps_per_epoch(trainer: "SFTTrainer") -> int:
    return max(1, math.ceil(len(trainer.get_train_dataloader()) / trainer.args.gradient_accumulation_steps))


def _planned(trainer: "SFTTrainer", total: int, per_epoch: int) -> list[int]:
    """Steps after which a checkpoint is kept: every 1/per_epoch of an epoch, and the last."""
    every = _steps_per_epoch(trainer) / per_epoch
    steps = {max(1, round(every * i)) for i in range(1, math.ceil(total / every) + 1)}
    return sorted({s for s in steps if s < total} | {total})


def _recorder(trainer: "SFTTrainer", out_dir: Path, planned: Sequence[int], on_step: OnStep | None) -> Any:
    """The callback that writes metrics rows and checkpoints."""
    import time

    from transformers import TrainerCallback

    class Recorder(TrainerCallback):
        started = 0.0
        row: Mapping[str, Any] = {}  # the last metrics row
        losses: tuple[float, ...] = ()  # since the last checkpoint

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            saved = out_dir / "trainer" / f"checkpoint-{state.global_step}" / _STATE
            kept = read_json(saved) if state.global_step and saved.exists() else {}
            trainer.loss_tokens = kept.get("loss_tokens", 0)
            trainer._total_train_tokens = kept.get("tokens_seen", 0)  # TRL counts it, but does not keep it
            self.losses = tuple(kept.get("losses", ()))

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.seconds = time.perf_counter() - self.started
            control.should_log = control.should_log or state.global_step in planned
            control.should_save = control.should_save or state.global_step in planned

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            if not math.isfinite(logs["loss"]):
                raise WorkFailed(
                    f"the loss became {logs['loss']} at step {state.global_step}",
                    where="sft",
                    hint="lower learning_rate",
                )
            self.losses += (logs["loss"],)
            self.row = {
                "step": state.global_step,
                "epoch": round(float(state.epoch or 0), 4),
                "loss": logs["loss"],
                "lr": logs.get("learning_rate"),
                "grad_norm": logs.get("grad_norm"),
                "tokens_trained": trainer.loss_tokens,
                "tokens_seen": logs.get("num_tokens"),
                "mean_token_accuracy": logs.get("mean_token_accuracy"),
                "aux_loss": logs.get("aux_loss"),
                "step_seconds": self.seconds,
            }
            if on_step and state.is_world_process_zero:
                on_step(dict(self.row))

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not state.is_world_process_zero:
                return
            if state.global_step in planned:
                loss = sum(self.losses) / len(self.losses) if self.losses else None
                self.losses = ()
                _keep(
                    trainer,
                    out_dir,
                    {
                        "step": state.global_step,
                        "epoch": round(float(state.epoch or 0), 4),
                        "tokens_trained": trainer.loss_tokens,
                        "loss": loss,
                    },
                )
            write_json(
                out_dir / "trainer" / f"checkpoint-{state.global_step}" / _STATE,
                {
                    "loss_tokens": trainer.loss_tokens,
                    "tokens_seen": trainer._total_train_tokens,
                    "losses": self.losses,
                },
            )

    return Recorder()


def _keep(trainer: "SFTTrainer", out_dir: Path, facts: dict[str, Any]) -> None:
    """Writes `checkpoints/checkpoint-<step>/` whole, then adds it to checkpoints.json."""
    name = f"checkpoint-{facts['step']}"
    folder = out_dir / "checkpoints" / name
    network = trainer.accelerator.unwrap_model(trainer.model)
    routing = getattr(network.config, "output_router_logits", None)
    with whole(folder, folder=True) as partial:
        try:
            save_plain(network, trainer.processing_class, partial, trainer.saved_dtype)
        finally:
            if routing is not None:
                network.config.output_router_logits = routing  # TRL's own loss needs it for the steps to come
        write_json(partial / "ringlite.json", facts)
    index = out_dir / "checkpoints.json"
    kept = [c for c in (read_json(index) if index.exists() else []) if c["step"] < facts["step"]]
    write_json(index, [*kept, {"name": name, "path": f"checkpoints/{name}", **facts}])


def _all_kept(out_dir: Path, total: int) -> list[dict[str, Any]]:
    """The rows of checkpoints.json where the last step's checkpoint is there: a run killed after its end is over."""
    index = out_dir / "checkpoints.json"
    rows: list[dict[str, Any]] = read_json(index) if index.exists() else []
    whole = rows and rows[-1]["step"] == total and all((out_dir / row["path"]).is_dir() for row in rows)
    return rows if whole else []
