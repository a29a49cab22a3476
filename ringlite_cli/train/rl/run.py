"""One RL stage: a policy, problems and a verifier in; a better policy, metrics.jsonl and rollouts.jsonl out."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from ringlite_cli.errors import Diverged, UserError
from ringlite_cli.freeing import import_apart
from ringlite_cli.models import register
from ringlite_cli.models.adapters import merged
from ringlite_cli.models.generation import FILE as GENERATION
from ringlite_cli.models.lora_targets import check_lora, lora_config
from ringlite_cli.own_code import is_own, load
from ringlite_cli.problems import DEFAULT_SUFFIX, VERDICT_REVISION, Problem, Verify, chat_messages
from ringlite_cli.recipe.c3po import RlSettings, starts_server
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs import rollouts
from ringlite_cli.runs.catalogue.own import write_own
from ringlite_cli.runs.files import MetricsWriter, read_jsonl
from ringlite_cli.runs.rollouts import RolloutWriter
from ringlite_cli.thoughts import tags_of
from ringlite_cli.train.base_model import compute_dtype, is_mixture, written_dtype
from ringlite_cli.train.engine.start import Watch, end_generation, generation_for, phase_stats
from ringlite_cli.train.guard.attempts import with_rollbacks
from ringlite_cli.train.guard.history import History
from ringlite_cli.train.resume.agreed import read_by_one
from ringlite_cli.train.resume.checkpoints import (
    check_ranks,
    go_back_to,
    last_checkpoint,
    set_unsound_aside,
    start_afresh,
)
from ringlite_cli.train.rl.context import check_context
from ringlite_cli.train.rl.measures import own_metrics
from ringlite_cli.train.rl.opened_thoughts import opened_by_template
from ringlite_cli.train.rl.prompts import DifficultySource, PromptSource, draw_prompts, own_source
from ringlite_cli.train.rl.row_layout import mean_prompt_tokens, row_layout
from ringlite_cli.train.rl.trl_config import rl_config
from ringlite_cli.where import told

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RlResult:
    """Where the policy is, and the tokens of all its steps (of earlier, interrupted runs too).

    packing: how the samples of rows were run, in words.
    """

    policy: Path
    steps: int
    tokens_trained: int
    tokens_generated: int
    tokens_dropped: int
    packing: str = ""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How the policy is computed with, and how it is asked.

    dtype: float32, bfloat16 or auto (see compute_dtype). attn_implementation: of transformers; None takes the one for
    packed rows. prompt_suffix: domain -> text after its prompts.
    """

    dtype: str = "float32"
    attn_implementation: str | None = None
    prompt_suffix: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_SUFFIX))


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller puts into a run.

    on_step: gets each new row of metrics.jsonl. rollout_func: TRL's own seam for drawing responses by other means.
    as_written: returns a row as it is to be written.
    """

    on_step: Callable[[Row], None] | None = None
    rollout_func: Any = None
    as_written: Callable[[Row], Row] = lambda row: row


def run_rl(
    policy: Path,
    problems: Sequence[Problem],
    verify: Verify,
    out: Path,
    settings: RlSettings,
    *,
    seed: int = 17,
    model: ModelOptions | None = None,
    hooks: Hooks | None = None,
    resume: bool = True,
) -> RlResult:
    """Train `policy` for settings.steps optimizer steps with C3PO and write out/policy, a plain Hugging Face folder.

    With resume, a run that was stopped goes on from its last checkpoint and ends with the same weights.
    Raises UserError for input that cannot work, WorkFailed where it did not, Interrupted after Ctrl-C or SIGTERM.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    settings.check(world_size=world_size)
    problems = _with_unique_ids(problems)
    own = own_metrics(settings.algorithm, problems)
    tokenizer = _load_tokenizer(policy)
    if settings.lora:
        _check_lora(policy, settings)
    asked = model or ModelOptions()
    run = _Run(
        policy=policy,
        problems=problems,
        verify=verify,
        out=out,
        settings=settings,
        seed=seed,
        model=replace(asked, dtype=compute_dtype(policy, asked.dtype)),
        hooks=hooks or Hooks(),
        resume=resume,
        tokenizer=tokenizer,
    )
    args = run.config(world_size)
    if not resume and args.process_index == 0:
        History.forget(out)
    if args.process_index == 0:
        write_own(out, own)
    guard, updates = settings.guard or Guard(), settings.updates_per_rollout
    from accelerate import PartialState

    trainer = with_rollbacks(partial(run.attempt, args), out, guard, updates, PartialState())
    _save_policy(trainer, tokenizer, out / "policy", policy, written_dtype(policy, asked.dtype))
    return _result(out, read_jsonl(run.metrics), str(trainer.row_path))


@dataclass(frozen=True)
class _Run:
    """One call of run_rl: what it was given, and how an attempt is made of it (a rollback makes another)."""

    policy: Path
    problems: Sequence[Problem]
    verify: Verify
    out: Path
    settings: RlSettings
    seed: int
    model: ModelOptions
    hooks: Hooks
    resume: bool
    tokenizer: Any

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.out / "metrics.jsonl"

    @property
    def rollouts(self) -> int:
        """Rollouts of the run; each serves updates_per_rollout optimizer steps."""
        return self.settings.steps // self.settings.updates_per_rollout

    def draw(self, rollouts: int) -> list[Problem]:
        """Draw the prompts of `rollouts` rollouts, in order."""
        per_rollout = self.settings.prompts_per_step * self.settings.updates_per_rollout
        return draw_prompts(self.problems, per_rollout, rollouts, self.settings.domain_mix, self.seed)

    def as_row(self, problem: Problem) -> Row:
        prompt = chat_messages(problem, self.model.prompt_suffix)
        known = {"problem_id": problem.id, "domain": problem.domain, "known_labels": json.dumps(told(problem))}
        return {"prompt": prompt, **known}

    def config(self, world_size: int) -> Any:
        """Resolve the batch with the prompts' mean length and the device's memory; return the trainer's config."""
        settings = self.settings
        asked = {problem.id: self.as_row(problem)["prompt"] for problem in self.problems}
        check_context(self.policy, self.tokenizer, asked, settings.trl, settings.max_completion_length)
        prompts = [self.as_row(problem)["prompt"] for problem in self.draw(self.rollouts)]
        mean_prompt = mean_prompt_tokens(self.tokenizer, prompts)
        layout = row_layout(
            self.policy,
            settings.trl,
            ceil(mean_prompt) + settings.max_completion_length,
            row_tokens=settings.row_tokens,
            lora=settings.lora is not None,
            world_size=world_size,
        )
        plan = settings.batch_plan(world_size=world_size, mean_prompt_tokens=mean_prompt, row_tokens=layout.row_tokens)
        return rl_config(
            settings,
            plan,
            layout,
            dtype=self.model.dtype,
            attn_implementation=self.model.attn_implementation,
            mixture=is_mixture(self.policy),
            output_dir=str(self.checkpoints),
            seed=self.seed,
        )

    def attempt(self, args: Any, history: History) -> Any:
        """Train from the last checkpoint, or from the start, to the end; return the trainer."""
        from accelerate import PartialState

        settings, own = self.settings, copy(args)
        rows = self._rows(history)
        resume = self.resume or history.attempt > 0
        prepare = partial(
            _prepare_folder, history, resume, settings.steps, settings.updates_per_rollout, own.world_size
        )
        found = read_by_one(prepare, PartialState())
        with (
            self._log(MetricsWriter, self.metrics) as metrics_file,
            self._log(RolloutWriter, self.out) as rollouts_file,
        ):
            with generation_for(own, self._watch()):
                trainer = self._trainer(own, rows, rollouts_file)
            guarding = self._guarding(trainer, history)
            try:
                _train(trainer, metrics_file, self.hooks, str(found[0]) if found else None, guarding, history.lr_scale)
            finally:
                end_generation(trainer)
        return trainer

    def _log(self, writer: Callable[[Path], Any], place: Path) -> Any:
        """A log that the main rank writes; other ranks open nothing, for a second process would cut what it writes."""
        from accelerate import PartialState

        return writer(place) if PartialState().is_main_process else nullcontext(None)

    def _rows(self, history: History) -> list[Row]:
        updates = self.settings.updates_per_rollout
        per_rollout = self.settings.prompts_per_step * updates
        stream = self.draw(self.rollouts + history.spare)
        return [self.as_row(problem) for problem in history.kept(stream, per_rollout, self.rollouts, updates)]

    def _watch(self) -> Watch:
        settings = self.settings
        server = settings.vllm_server if starts_server(settings.trl) else None
        log = self.out / "vllm-server.log"
        return Watch(settings.sync_tolerance, settings.engine_timeout, server=server, policy=self.policy, log=log)

    def _guarding(self, trainer: Any, history: History) -> Any:
        from ringlite_cli.train.guard.callback import Guarding

        return None if self.settings.guard is None else Guarding(trainer, self.settings.guard, history)

    def _source(self) -> PromptSource | None:
        """Where the trainer draws prompts itself: by difficulty, by a source of the user's own, or to fill a budget."""
        if is_own(self.settings.sampling):
            mix = self.settings.domain_mix
            return own_source(self.settings.sampling, problems=self.problems, row=self.as_row, mix=mix, seed=self.seed)
        draws_all = self.settings.sampling == "difficulty"
        if not draws_all and self.settings.undershoot != "refill":
            return None
        mix, rest = self.settings.domain_mix, self.settings.rest_rollouts
        return DifficultySource(self.problems, self.as_row, mix, self.seed, draws_all=draws_all, rest=rest)

    def _rollout_func(self) -> Any:
        named = self.settings.rollout_func
        return self.hooks.rollout_func or (load(named, calls=True) if named else None)

    def _trainer(self, args: Any, rows: list[Row], rollouts_file: RolloutWriter | None) -> Any:
        from datasets import Dataset
        from transformers import PrinterCallback

        from ringlite_cli.train.rl.reward import VerifiedReward

        opened = opened_by_template(self.tokenizer, tags_of(self.verify))

        def log_rollout(made: list[Row]) -> None:
            assert rollouts_file is not None  # the main rank alone is given rollouts
            rollouts_file.extend(row | {"thought_opened": opened, "revision": VERDICT_REVISION} for row in made)

        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL would send some when it starts
        trainer = import_apart("ringlite_cli.train.rl.trainer").C3POTrainer(
            model=str(self.policy),
            reward_funcs=VerifiedReward(self.problems, self.verify, opened),
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=self.tokenizer,
            on_rollout=log_rollout,
            rollout_func=self._rollout_func(),
            prompts=self._source(),
            peft_config=lora_config(self.settings.lora.model_dump()) if self.settings.lora else None,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer


def _prepare_folder(
    history: History, resume: bool, steps: int, updates_per_rollout: int, ranks: int
) -> tuple[Path, int] | None:
    """Take the logs back to the last whole checkpoint, and return it; or set an earlier run aside, and return None.

    Raises UserError where that checkpoint is past the last step, for nothing would be trained, or of other ranks.
    """
    folder = history.folder
    checkpoints, metrics = folder / "checkpoints", folder / "metrics.jsonl"
    checkpoints.mkdir(parents=True, exist_ok=True)
    set_unsound_aside(checkpoints)
    found = last_checkpoint(checkpoints) if resume else None
    if found is None:
        start_afresh(checkpoints, metrics)
        rollouts.forget(folder)
        history.go_on_from(0)
        return None
    path, step = found
    if step > steps:
        raise UserError(
            f"the run there is at step {step} already, and {steps} are asked for: nothing would be trained",
            where=str(path),
            hint="give more steps, or start afresh (--fresh)",
        )
    check_ranks(path, ranks)
    history.go_on_from(step)
    go_back_to(step, metrics)
    rollouts.go_back_to(folder, -(-step // updates_per_rollout) * updates_per_rollout)  # logged when planned
    return found


def _with_unique_ids(problems: Sequence[Problem]) -> Sequence[Problem]:
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise UserError(f"two problems have the id {problem.id!r}", where="data", hint="curate the data again")
        seen.add(problem.id)
    return problems


def _load_tokenizer(policy: Path) -> Any:
    from transformers import AutoTokenizer

    register()
    if not (Path(policy) / "config.json").is_file():
        raise UserError("no model there (config.json is missing)", where=str(policy))
    tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left", truncation_side="left")
    if tokenizer.chat_template is None:
        raise UserError(
            "the tokenizer has no chat template, so problems cannot become prompts",
            where=str(policy),
            hint="start from an instruction-tuned model, or run the sft stage first",
        )
    return tokenizer


def _check_lora(policy: Path, settings: RlSettings) -> None:
    from transformers import AutoConfig

    assert settings.lora is not None
    config = AutoConfig.from_pretrained(policy)
    check_lora(config, settings.lora.model_dump(), uses_vllm=bool(settings.trl.get("use_vllm")))


def _train(
    trainer: Any,
    metrics: MetricsWriter | None,
    hooks: Hooks,
    checkpoint: str | None,
    guarding: Any,
    lr_scale: float,
) -> None:
    from ringlite_cli.train.resume.keeper import Keeper
    from ringlite_cli.train.resume.new_values import NewValues
    from ringlite_cli.train.resume.stop import StopFlag
    from ringlite_cli.train.step_rows import StepRows

    last = time.perf_counter()

    def make_row(step: int, logs: Row) -> Row:
        nonlocal last
        now = time.perf_counter()
        stats = trainer.step_stats
        seconds = now - last
        last = now
        return {
            "step": step,
            "loss": logs["loss"],
            "grad_norm": logs.get("grad_norm"),
            "lr": logs["learning_rate"],
            **stats,
            "update_seconds": seconds - stats["rollout_seconds"] - stats["reward_seconds"],
            "step_seconds": seconds,
            **phase_stats(trainer, stats, seconds),
        }

    def write(row: Row) -> None:
        assert metrics is not None  # the main rank alone writes rows
        metrics.append(hooks.as_written(row))
        if hooks.on_step is not None:
            hooks.on_step(row)

    keeper = Keeper(trainer, protected=lambda: guarding.good if guarding else None)
    with StopFlag() as stop:
        for callback in (StepRows(make_row, write), guarding, NewValues(lr_scale), keeper, stop):
            if callback is not None:
                trainer.add_callback(callback)
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except Diverged as error:
            raise (guarding and guarding.rollback_for(error)) or error from None
    if guarding:
        guarding.raise_if_paused()
    stop.raise_if_stopped(trainer.args.max_steps)
    keeper.raise_if_idle(trainer.state, trainer.args.max_steps)


def _save_policy(trainer: Any, tokenizer: Any, folder: Path, before: Path, dtype: str) -> None:
    """Writes the weights beside their place first, so that `policy` is whole or not there.

    An adapter is merged first, and weights that were trained in float32 are rounded to the recipe's dtype. The settings
    for drawing tokens are those of the policy before, from which RL has kept the model.
    """
    import torch

    if hasattr(trainer.model, "merge_and_unload"):
        trainer.model = merged(trainer.model)
    if dtype != "float32" and not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        trainer.model.to(getattr(torch, dtype))
    partial = folder.with_name(folder.name + ".partial")
    if trainer.accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(partial))
    if trainer.accelerator.is_main_process:
        tokenizer.save_pretrained(partial)
        (partial / "training_args.bin").unlink(missing_ok=True)
        if (Path(before) / GENERATION).is_file():
            shutil.copyfile(Path(before) / GENERATION, partial / GENERATION)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    trainer.accelerator.wait_for_everyone()


def _result(out_dir: Path, rows: Sequence[Row], packing: str) -> RlResult:
    totals = {name: sum(row[name] for row in rows) for name in ("tokens_trained", "tokens_generated", "tokens_dropped")}
    return RlResult(policy=out_dir / "policy", steps=len(rows), packing=packing, **totals)
