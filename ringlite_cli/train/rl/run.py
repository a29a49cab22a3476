"""One RL stage: a policy, problems and a verifier in; a better policy, metrics.jsonl and rollouts.jsonl out."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.freeing import import_apart
from ringlite_cli.models.lora_targets import lora_config
from ringlite_cli.overlooked import Overlooked
from ringlite_cli.own_code import load
from ringlite_cli.problems import DEFAULT_SUFFIX, VERDICT_REVISION, Problem, Verify, chat_messages
from ringlite_cli.recipe.composition import Composition
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.recipe.rl_settings import RlSettings, starts_server
from ringlite_cli.runs.catalogue.own import write_own
from ringlite_cli.runs.files import MetricsWriter, read_jsonl
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.runs.rollouts import RolloutWriter
from ringlite_cli.runs.row_types import MetricsRow, PromptRow, RolloutRow
from ringlite_cli.samples import SEED
from ringlite_cli.thoughts import tags_of
from ringlite_cli.train.base_model import compute_dtype, frozen_dtype, is_mixture, written_dtype
from ringlite_cli.train.engine.held import RunEngine, group_not_ours
from ringlite_cli.train.engine.start import Watch, generation_ending, generation_for
from ringlite_cli.train.guard.attempts import with_rollbacks
from ringlite_cli.train.guard.history import History
from ringlite_cli.train.liger import liger_for_one_training
from ringlite_cli.train.read_once import read_once_if_sharded
from ringlite_cli.train.resume.agreed import check_same, read_by_one, seen_here
from ringlite_cli.train.rl.composed import Composer, composer_for
from ringlite_cli.train.rl.context import still_mixed, with_room
from ringlite_cli.train.rl.folder import prepare_folder
from ringlite_cli.train.rl.given import check_adapter, load_tokenizer, with_unique_ids
from ringlite_cli.train.rl.held_out import HeldOutSet, held_out_of
from ringlite_cli.train.rl.loop import Hooks, train
from ringlite_cli.train.rl.measures import own_metrics
from ringlite_cli.train.rl.opened_thoughts import opened_by_template
from ringlite_cli.train.rl.prompts import draw_prompts, source_of
from ringlite_cli.train.rl.row_layout import Asked, mean_prompt_tokens, row_layout
from ringlite_cli.train.rl.saving import save_policy
from ringlite_cli.train.rl.trl_config import rl_config
from ringlite_cli.where import told


@dataclass(frozen=True, slots=True)
class RlResult:
    """Where the policy is, and the tokens of all its steps (of earlier, interrupted runs too).

    packing: how the samples of rows were run, in words. prompts_left_out: prompts too long for the model.
    """

    policy: Path
    steps: int
    tokens_trained: int
    tokens_generated: int
    tokens_dropped: int
    packing: str = ""
    prompts_left_out: int = 0


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How the policy is computed with, and how it is asked.

    dtype: float32, bfloat16 or auto (see compute_dtype). attn_implementation: of transformers; None takes the one for
    packed rows. prompt_suffix: domain -> text after its prompts.
    """

    dtype: str = "float32"
    attn_implementation: str | None = None
    prompt_suffix: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_SUFFIX))


def run_rl(
    policy: Path,
    problems: Sequence[Problem],
    verify: Verify,
    out: Path,
    settings: RlSettings,
    *,
    seed: int = SEED,
    model: ModelOptions | None = None,
    hooks: Hooks | None = None,
    resume: bool = True,
    composition: Composition | None = None,
    held_out: HeldOutSet | None = None,
    engine: RunEngine | None = None,
) -> RlResult:
    """Train `policy` for settings.steps optimizer steps with C3PO and write out/policy, a plain Hugging Face folder.

    composition: how several verifiers and penalties make one reward; default: a problem's own verifier alone.
    held_out: the problems of settings.guard.held_out. engine: a run's, for colocated vLLM on one rank: gone on with
    where it fits, and left to the caller, who ends it if this raises.
    With resume, a run that was stopped goes on from its last checkpoint and ends with the same weights.
    Raises UserError for input that cannot work, WorkFailed where it did not, Interrupted after Ctrl-C or SIGTERM.
    """
    ranks = world_size()
    settings.check(world_size=ranks, own_engine=hooks is not None and hooks.rollout_func is not None)
    problems = with_unique_ids(problems)
    own = own_metrics(settings.algorithm, problems, composer_for(composition, problems))
    with Overlooked(policy):
        tokenizer = load_tokenizer(policy)
        if settings.lora:
            check_adapter(policy, settings)
    asked = model or ModelOptions()
    run = _Run(
        *(policy, problems, verify, out, settings, seed),
        model=replace(asked, dtype=compute_dtype(policy, asked.dtype)),
        hooks=hooks or Hooks(),
        resume=resume,
        tokenizer=tokenizer,
        composition=composition,
        engine=engine if ranks == 1 else None,
    )
    run._streams()  # raises where there can be none
    with Overlooked(policy):
        room = partial(with_room, policy, tokenizer, asked=lambda p: run.as_row(p)["prompt"], settings=settings)
        fitting = still_mixed(room(problems), problems, settings.domain_mix)
        run = replace(run, problems=fitting, held_out=held_out_of(held_out, problems, settings, seed, room))
        args = run.config(ranks)
    if not resume and args.process_index == 0:
        History.forget(out)
    if args.process_index == 0:
        write_own(out, own)
    guard, updates = settings.guard or Guard(), settings.updates_per_rollout
    from accelerate import PartialState

    check_same(seen_here(policy, problems, settings), PartialState())
    trainer = with_rollbacks(partial(run.attempt, args), out, guard, updates, PartialState())
    save_policy(trainer, tokenizer, out / "policy", policy, written_dtype(policy, asked.dtype))
    return _result(out, read_jsonl(run.metrics), trainer.row_path.in_words(), len(problems) - len(fitting))


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
    composition: Composition | None = None
    held_out: HeldOutSet | None = None
    engine: RunEngine | None = None

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.out / "metrics.jsonl"

    @property
    def rollouts(self) -> int:
        """Return the rollouts of the run; each serves updates_per_rollout optimizer steps."""
        return self.settings.steps // self.settings.updates_per_rollout

    def draw(self, rollouts: int) -> list[Problem]:
        """Draw the prompts of `rollouts` rollouts, in order."""
        per_rollout = self.settings.prompts_per_step * self.settings.updates_per_rollout
        return draw_prompts(self.problems, per_rollout, rollouts, self.settings.domain_mix, self.seed)

    def as_row(self, problem: Problem) -> PromptRow:
        prompt = chat_messages(problem, self.model.prompt_suffix)
        known = {"problem_id": problem.id, "domain": problem.domain, "known_labels": json.dumps(told(problem))}
        return {"prompt": prompt, **known}

    @group_not_ours()
    def config(self, world_size: int) -> Any:
        """Resolve the batch with the prompts' mean length and the device's memory; return the trainer's config."""
        settings = self.settings
        prompts = [self.as_row(problem)["prompt"] for problem in self.draw(self.rollouts)]
        mean_prompt = mean_prompt_tokens(self.tokenizer, prompts)
        frozen = frozen_dtype(self.policy, self.model.dtype)
        longest = ceil(mean_prompt) + settings.max_completion_length
        layout, share = row_layout(
            self.policy,
            settings.trl,
            Asked(
                longest=longest,
                responses=settings.responses(settings.num_generations, world_size),
                row_tokens=settings.row_tokens,
                bf16=self.model.dtype == "bfloat16",
                lora=lora_config(settings.lora.model_dump()) if settings.lora else None,
                frozen=2 if frozen == "bfloat16" else 4,
                scorer=self._scorer_bytes(longest),
                lent=0 if self.engine is None else self.engine.gpu_bytes,
            ),
        )
        if share is not None:
            trl = {**settings.trl, "vllm_gpu_memory_utilization": share}
            settings = settings.model_copy(update={"trl": trl})
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
            frozen=frozen,
        )

    def _scorer_bytes(self, longest: int) -> int:
        """Return what the verifier's own model will take of this rank's GPU; 0 for a verifier that has none."""
        told = getattr(self.verify, "gpu_bytes", None)
        return int(told(Composer(self.composition).asked(self.problems), longest)) if told is not None else 0

    @liger_for_one_training()
    def attempt(self, args: Any, history: History) -> Any:
        """Train from the last checkpoint, or from the start, to the end; return the trainer."""
        from accelerate import PartialState

        settings, own = self.settings, copy(args)
        rows = self._rows(history)
        resume = self.resume or history.attempt > 0
        prepare = partial(prepare_folder, history, resume, settings.steps, settings.updates_per_rollout, own.world_size)
        found = read_by_one(prepare, PartialState())
        with (
            self._log(MetricsWriter, self.metrics) as metrics_file,
            self._log(RolloutWriter, self.out) as rollouts_file,
        ):
            with generation_for(own, self._watch()), Overlooked(self.policy):
                trainer = self._trainer(own, rows, rollouts_file)
            guard_callback = self._guard_callback(trainer, history)
            if self.held_out is not None:
                trainer.add_callback(self._scores(trainer, self.held_out))
            with generation_ending(trainer):
                found_last = str(found[0]) if found else None
                train(trainer, metrics_file, self.hooks, found_last, guard_callback, history.lr_scale)
        return trainer

    def _log(self, writer: Callable[[Path], Any], place: Path) -> Any:
        """Open a log on the main rank; other ranks open nothing, for a second process would cut what it writes."""
        from accelerate import PartialState

        return writer(place) if PartialState().is_main_process else nullcontext(None)

    def _rows(self, history: History) -> list[PromptRow]:
        updates = self.settings.updates_per_rollout
        per_rollout = self.settings.prompts_per_step * updates
        stream = self.draw(self.rollouts + history.spare)
        return [self.as_row(problem) for problem in history.kept(stream, per_rollout, self.rollouts, updates)]

    def _watch(self) -> Watch:
        settings = self.settings
        server = settings.vllm_server if starts_server(settings.trl) else None
        return Watch(
            settings.sync_tolerance,
            settings.engine_timeout,
            server=server,
            policy=self.policy,
            router_bias=bool(settings.router_bias_rate),
            log=self.out / "vllm-server.log",
            dtype=settings.vllm_dtype,
            head_dtype=settings.vllm_head_dtype,
            engine=self.engine,
        )

    def _guard_callback(self, trainer: Any, history: History) -> Any:
        from ringlite_cli.train.guard.callback import GuardCallback

        if self.settings.guard is None:
            return None
        held_out = (self.held_out.paired, self.held_out.digest) if self.held_out else ()
        return GuardCallback(trainer, self.settings.guard, history, *held_out)

    def _scores(self, trainer: Any, held_out: HeldOutSet) -> Any:
        from ringlite_cli.train.rl.held_out_scores import HeldOutScores

        return HeldOutScores(trainer, held_out, self._reward(held_out.problems, None), self.as_row)

    def _reward(self, problems: Sequence[Problem], composition: Composition | None) -> Any:
        from ringlite_cli.train.rl.reward import VerifiedReward

        return VerifiedReward(problems, self.verify, self._thought_opened(), composition)

    def _thought_opened(self) -> str:
        return opened_by_template(self.tokenizer, tags_of(self.verify))

    def _rollout_func(self) -> Any:
        named = self.settings.rollout_func
        return self.hooks.rollout_func or (load(named, calls=True) if named else None)

    def _streams(self) -> Any:
        """Return what makes an engine of the user's own for a pool; None without, for vLLM or the trainer's model."""
        own = self._rollout_func()
        if own is None or not self.settings.pools:
            return None
        streams = getattr(own, "stream", None)
        if not callable(streams):
            carries = self.settings.carries
            raise UserError(
                f"{self.settings.rollout_func or own!r} has no stream(trainer), by which responses are "
                + ("carried over" if carries else "drawn ahead"),
                where="rollout_func",
                hint="give it one (ringlite_cli/train/engine/stream.py), or "
                + ("set rollouts: {mode: wait}" if carries else "leave rollouts.ahead out"),
            )
        return streams

    def _trainer(self, args: Any, rows: list[PromptRow], rollouts_file: RolloutWriter | None) -> Any:
        from datasets import Dataset
        from transformers import PrinterCallback

        opened = self._thought_opened()

        def log_rollout(made: list[RolloutRow]) -> None:
            assert rollouts_file is not None  # the main rank alone is given rollouts
            rollouts_file.extend(row | {"thought_opened": opened, "revision": VERDICT_REVISION} for row in made)

        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL would send some when it starts
        with read_once_if_sharded(self.policy) as in_small:
            trainer = import_apart("ringlite_cli.train.rl.trainer").C3POTrainer(
                model=str(self.policy),
                reward_funcs=self._reward(self.problems, self.composition),
                args=args,
                train_dataset=Dataset.from_list(rows),
                processing_class=self.tokenizer,
                on_rollout=log_rollout,
                rollout_func=None if self.settings.pools else self._rollout_func(),
                streams=self._streams(),
                prompts=source_of(self.settings, self.problems, self.as_row, self.seed),
                in_small=in_small,
                peft_config=lora_config(self.settings.lora.model_dump()) if self.settings.lora else None,
            )
        trainer.remove_callback(PrinterCallback)
        return trainer


def _result(out_dir: Path, rows: Sequence[MetricsRow], packing: str, left_out: int) -> RlResult:
    totals = {name: sum(row[name] for row in rows) for name in ("tokens_trained", "tokens_generated", "tokens_dropped")}
    return RlResult(policy=out_dir / "policy", steps=len(rows), packing=packing, prompts_left_out=left_out, **totals)
