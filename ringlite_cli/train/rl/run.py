"""One RL stage: a policy, problems and a verifier in; a better policy, metrics.jsonl and rollouts.jsonl out."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Literal

from ringlite_cli.c3po.budget import Cut
from ringlite_cli.c3po.loss import Algorithm
from ringlite_cli.c3po.plan import Scope, resolve_batch
from ringlite_cli.c3po.schedule import Kind
from ringlite_cli.errors import Diverged, UserError
from ringlite_cli.freeing import import_apart
from ringlite_cli.models import register
from ringlite_cli.problems import PAPER_SUFFIX, VERDICT_REVISION, Problem, Verify, chat_messages
from ringlite_cli.recipe.schema import Guard, VllmServer
from ringlite_cli.runs.files import MetricsWriter, read_jsonl
from ringlite_cli.thoughts import tags_of
from ringlite_cli.train.base_model import compute_dtype, is_mixture
from ringlite_cli.train.engine.own_server import is_own
from ringlite_cli.train.engine.start import Watch, end_generation, generation_for, phase_stats
from ringlite_cli.train.guard.attempts import with_rollbacks
from ringlite_cli.train.guard.history import History
from ringlite_cli.train.resume.checkpoints import check_ranks, drop_unsound, go_back_to, last_checkpoint, start_afresh
from ringlite_cli.train.rl.opened_thoughts import opened_by_template
from ringlite_cli.train.rl.prompts import DifficultySource, draw_prompts
from ringlite_cli.train.rl.row_layout import row_layout
from ringlite_cli.train.rl.trl_config import lora_config, rl_config, trl_value

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RlResult:
    """Where the policy is, and the tokens of all its steps (of earlier, interrupted runs too)."""

    policy: Path
    steps: int
    tokens_trained: int
    tokens_generated: int
    tokens_dropped: int


def run_rl(
    policy: Path,
    problems: Sequence[Problem],
    verify: Verify,
    out_dir: Path,
    *,
    prompts_per_step: int,
    steps: int,
    trl: Mapping[str, Any],
    token_budget: int,
    token_budget_scope: Scope = "global",
    row_tokens: int | None = None,
    cut: Cut = "exact",
    drop_uninformative: bool = False,
    updates_per_rollout: int = 1,
    router_balance_coef: float = 0.0,
    router_z_loss_coef: float = 0.0,
    algorithm: Algorithm = "c3po",
    importance_cap: float | None = None,
    freeze_router: bool = False,
    budget_schedule: Kind = "constant",
    token_budget_end: int | None = None,
    budget_steps: int = 0,
    budget_dead_band: float = 0.1,
    undershoot: Literal["accept", "refill"] = "accept",
    refill_rounds: int = 2,
    sampling: Literal["shuffle", "difficulty"] = "shuffle",
    rest_rollouts: int = 8,
    lora: Mapping[str, Any] | None = None,
    prompt_suffix: Mapping[str, str] | None = None,
    domain_mix: Mapping[str, float] | None = None,
    seed: int = 17,
    dtype: str = "float32",
    attn_implementation: str | None = None,
    guard: Guard | None = None,
    sync_tolerance: float = 0.1,
    engine_timeout: float = 1800.0,
    vllm_server: VllmServer | None = None,
    resume: bool = True,
    on_step: Callable[[Row], None] | None = None,
    rollout_func: Any = None,
) -> RlResult:
    """Trains `policy` for `steps` optimizer steps with C3PO and writes out_dir/policy, a plain Hugging Face folder.

    trl: GRPOConfig fields (num_generations, max_completion_length, learning_rate, beta, entropy_coef, save_steps ...).
    prompt_suffix: domain -> text after its prompts (default: the paper's for math and science). domain_mix: share of
    prompts per domain. sampling: how prompts are drawn (see prompts.py; a solved prompt rests for rest_rollouts).
    lora: fields of peft's LoraConfig; the policy is written merged. on_step gets each new row of metrics.jsonl.
    dtype: float32, bfloat16 or auto (see compute_dtype).
    rollout_func: TRL's seam, for tests and engines. row_tokens: of a packed row; by default as memory allows.
    sync_tolerance, engine_timeout, vllm_server: of vLLM, with trl.use_vllm (see train/engine/watched.py); a server is
    started with trl.vllm_mode: server where trl names none.

    With resume, a run that was stopped goes on from its last checkpoint and ends with the same weights.
    Raises UserError for input that cannot work, WorkFailed where it did not, Interrupted after Ctrl-C or SIGTERM.
    """
    from accelerate import PartialState

    from ringlite_cli.train.guard.callback import Guarding

    problems = _with_unique_ids(problems)
    if steps <= 0 or steps % updates_per_rollout:
        raise UserError(
            f"{steps} steps are not a whole number of rollouts of {updates_per_rollout} updates", where="max_steps"
        )
    checkpoints, metrics, rollouts = out_dir / "checkpoints", out_dir / "metrics.jsonl", out_dir / "rollouts.jsonl"
    suffix = {"math": PAPER_SUFFIX, "science": PAPER_SUFFIX} if prompt_suffix is None else prompt_suffix
    tokenizer = _load_tokenizer(policy)
    dtype = compute_dtype(policy, dtype)
    per_rollout, count = prompts_per_step * updates_per_rollout, steps // updates_per_rollout
    drawn = draw_prompts(problems, per_rollout, count, domain_mix, seed)
    conversations = [chat_messages(problem, suffix) for problem in drawn]
    mean_prompt = _mean_prompt_tokens(tokenizer, conversations)
    longest = ceil(mean_prompt) + trl_value(trl, "max_completion_length")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    layout = row_layout(policy, trl, longest, row_tokens=row_tokens, lora=lora, world_size=world_size)
    plan = resolve_batch(
        num_generations=trl_value(trl, "num_generations"),
        max_response_tokens=trl_value(trl, "max_completion_length"),
        prompts_per_step=prompts_per_step,
        token_budget=max(token_budget, token_budget_end or 0),
        row_tokens=layout.row_tokens,
        scope=token_budget_scope,
        updates_per_rollout=updates_per_rollout,
        mean_prompt_tokens=mean_prompt,
        world_size=world_size,
        selects=algorithm == "c3po",
    )
    args = rl_config(
        trl,
        plan,
        layout,
        dtype=dtype,
        attn_implementation=attn_implementation,
        mixture=is_mixture(policy),
        output_dir=str(checkpoints),
        seed=seed,
        max_steps=steps,
        token_budget=token_budget,
        token_budget_scope=token_budget_scope,
        cut=cut,
        drop_uninformative=drop_uninformative,
        updates_per_rollout=updates_per_rollout,
        router_balance_coef=router_balance_coef,
        router_z_loss_coef=router_z_loss_coef,
        algorithm=algorithm,
        importance_cap=importance_cap,
        freeze_router=freeze_router,
        budget_schedule=budget_schedule,
        token_budget_end=token_budget_end,
        budget_steps=budget_steps,
        budget_dead_band=budget_dead_band,
        undershoot=undershoot,
        refill_rounds=refill_rounds,
    )
    server = (vllm_server or VllmServer()) if is_own(trl) else None

    def as_row(problem: Problem) -> Row:
        return {"prompt": chat_messages(problem, suffix), "problem_id": problem.id, "domain": problem.domain}

    def attempt(history: History) -> Any:
        source = None
        if sampling == "difficulty" or undershoot == "refill":
            source = DifficultySource(
                problems, as_row, domain_mix, seed, draws_all=sampling == "difficulty", rest=rest_rollouts
            )
        stream = draw_prompts(problems, per_rollout, count + history.spare, domain_mix, seed)
        rows = [as_row(problem) for problem in history.kept(stream, per_rollout, count, updates_per_rollout)]
        own = copy(args)
        with own.main_process_first(local=False):  # one rank puts the folder in order, the others find it so
            if own.process_index == 0:
                _prepare_folder(history, resume or history.attempt > 0, steps, updates_per_rollout)
        found = last_checkpoint(checkpoints)
        if found:
            check_ranks(found[0], own.world_size)
        with MetricsWriter(metrics) as metrics_file, MetricsWriter(rollouts) as rollouts_file:
            watch = Watch(sync_tolerance, engine_timeout, server=server, policy=policy, log=out_dir / "vllm-server.log")
            with generation_for(own, watch):
                trainer = _trainer(
                    policy, tokenizer, problems, verify, own, rows, rollouts_file, rollout_func, source, lora
                )
            guarding = None if guard is None else Guarding(trainer, guard, history)
            try:
                _train(trainer, metrics_file, on_step, str(found[0]) if found else None, guarding)
            finally:
                end_generation(trainer)
        return trainer

    if not resume and args.process_index == 0:
        History.forget(out_dir)
    trainer = with_rollbacks(attempt, out_dir, guard or Guard(), updates_per_rollout, PartialState())
    _save_policy(trainer, tokenizer, out_dir / "policy", dtype)
    return _result(out_dir, read_jsonl(metrics))


def _prepare_folder(history: History, resume: bool, steps: int, updates_per_rollout: int) -> None:
    """Takes the logs back to the last whole checkpoint, or removes an earlier run altogether.

    Raises UserError where that checkpoint is past the last step: nothing would be trained.
    """
    folder = history.folder
    checkpoints, metrics, rollouts = folder / "checkpoints", folder / "metrics.jsonl", folder / "rollouts.jsonl"
    checkpoints.mkdir(parents=True, exist_ok=True)
    drop_unsound(checkpoints)
    found = last_checkpoint(checkpoints) if resume else None
    if found is None:
        start_afresh(checkpoints, metrics, rollouts)
        history.go_on_from(0)
        return
    path, step = found
    if step > steps:
        raise UserError(
            f"the run there is at step {step} already, and {steps} are asked for: nothing would be trained",
            where=str(path),
            hint="give more steps, or start afresh (--fresh)",
        )
    history.go_on_from(step)
    go_back_to(step, metrics)
    go_back_to(-(-step // updates_per_rollout) * updates_per_rollout, rollouts)  # logged when planned


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


def _mean_prompt_tokens(tokenizer: Any, conversations: Sequence[list[dict[str, str]]]) -> float:
    """From up to 256 prompts: enough for the layout of rows, which adapts to the real lengths anyway."""
    some = list(conversations[:256])
    texts = tokenizer.apply_chat_template(some, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return sum(map(len, ids)) / len(ids)


def _trainer(
    policy: Path,
    tokenizer: Any,
    problems: Sequence[Problem],
    verify: Verify,
    args: Any,
    rows: list[Row],
    rollouts_file: MetricsWriter,
    rollout_func: Any,
    source: Any = None,
    lora: Mapping[str, Any] | None = None,
) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback

    from ringlite_cli.train.rl.reward import VerifiedReward

    opened = opened_by_template(tokenizer, args.chat_template_kwargs or {}, tags_of(verify))
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL would send some when it starts
    trainer = import_apart("ringlite_cli.train.rl.trainer").C3POTrainer(
        model=str(policy),
        reward_funcs=VerifiedReward(problems, verify, opened),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        on_rollout=lambda made: rollouts_file.extend(
            row | {"thought_opened": opened, "revision": VERDICT_REVISION} for row in made
        ),
        rollout_func=rollout_func,
        prompts=source,
        peft_config=lora_config(lora),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _train(
    trainer: Any,
    metrics: MetricsWriter,
    on_step: Callable[[Row], None] | None,
    checkpoint: str | None,
    guarding: Any,
) -> None:
    from ringlite_cli.train.resume.keeper import Keeper
    from ringlite_cli.train.resume.stop import StopFlag
    from ringlite_cli.train.rl.pending_updates import load_in_hand, save_in_hand
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
        metrics.append(row)
        if on_step is not None:
            on_step(row)

    keeper = Keeper(
        trainer,
        save=partial(save_in_hand, trainer),
        load=partial(load_in_hand, trainer),
        protected=lambda: guarding.good if guarding else None,
    )
    with StopFlag() as stop:
        for callback in (StepRows(make_row, write), guarding, keeper, stop):
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


def _save_policy(trainer: Any, tokenizer: Any, folder: Path, dtype: str) -> None:
    """Writes the weights beside their place first, so that `policy` is whole or not there.

    An adapter is merged first, and weights that were trained in float32 are rounded to the recipe's dtype.
    """
    import torch

    if hasattr(trainer.model, "merge_and_unload"):
        trainer.model = trainer.model.merge_and_unload()
    if dtype == "bfloat16" and not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        trainer.model.to(torch.bfloat16)
    partial = folder.with_name(folder.name + ".partial")
    if trainer.accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(partial))
    if trainer.accelerator.is_main_process:
        tokenizer.save_pretrained(partial)
        (partial / "training_args.bin").unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    trainer.accelerator.wait_for_everyone()


def _result(out_dir: Path, rows: Sequence[Row]) -> RlResult:
    totals = {name: sum(row[name] for row in rows) for name in ("tokens_trained", "tokens_generated", "tokens_dropped")}
    return RlResult(policy=out_dir / "policy", steps=len(rows), **totals)
