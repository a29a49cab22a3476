"""C3PO on TRL's GRPOTrainer.

GRPOTrainer, except:
1. after rewards and advantages, exactly Phi response tokens are picked (Eq. 2, 3); the rest of the rollout is dropped;
   (an `algorithm` without a budget takes every response and its own divisor, through the same packed path);
2. the picked prefixes are packed into rows, told apart by position ids, and balanced over micro-batches and ranks;
3. loss, KL and entropy are sums over tokens with one division by the constant Phi, so nothing depends on the layout;
4. reference and old log-probabilities are computed on the picked tokens alone, old ones only where they are needed;
5. the router's balance and z-loss (Eq. 5) are weighted by the tokens of a row;
6. a `prompts` source draws prompts by difficulty, and further ones where a budget is not filled (`undershoot`);
7. a checkpoint is loaded whole (transformers' Trainer leaves out the experts of a mixture);
8. the rows of a step follow from the prompts, and a checkpoint keeps the updates of a rollout that are yet to come;
9. in mode carry (`rollouts`) responses come from a pool, and unfinished ones go on in the next step (`carry/`);
10. a step that runs out of memory is done again with its rows in halves, once in a run (`halved_rows.py`);
11. each optimizer step leaves a row of numbers (`step_stats`), each response a row for rollouts.jsonl (`on_rollout`).

Dataloader, generation, rewards, advantages, optimizer, checkpoints and logging are TRL's. How a rollout is made (ask,
draw, score, put together) is in rollout_trainer.py; what is trained on it is here.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.budget import Pick
from ringlite_cli.c3po.loss import token_losses
from ringlite_cli.c3po.packing import IGNORED, base_causal_lm, forward_inputs, sample_of_token
from ringlite_cli.c3po.router import RouterTap, router_parameters
from ringlite_cli.c3po.row_path import RowPath
from ringlite_cli.errors import UserError
from ringlite_cli.models import register
from ringlite_cli.models.adapter_kinds import check_trainable
from ringlite_cli.models.adapters import switched_off
from ringlite_cli.models.experts import name_experts
from ringlite_cli.models.generation import only_ends
from ringlite_cli.models.lora_targets import targets_as_given
from ringlite_cli.runs.row_types import MetricsRow, PackedRow, RolloutRow
from ringlite_cli.train.engine.stream import Stream
from ringlite_cli.train.float32_head import float32_head
from ringlite_cli.train.guard.gap import Scores
from ringlite_cli.train.liger import keep_to_triton
from ringlite_cli.train.resume.checkpoints import load_weights
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.halved_rows import HalvedRows
from ringlite_cli.train.rl.model_checks import check_model
from ringlite_cli.train.rl.prompts import PromptSource
from ringlite_cli.train.rl.record import Measures
from ringlite_cli.train.rl.responses import held_responses
from ringlite_cli.train.rl.rollout import RolloutBatch, rollout_stats, selection_stats
from ringlite_cli.train.rl.rollout_trainer import RolloutTrainer
from ringlite_cli.train.rl.router_bias import RouterBias
from ringlite_cli.train.rl.rows import check_dataset, derive_rows
from ringlite_cli.train.rl.step_metrics import PER_TOKEN, StepNumbers
from ringlite_cli.train.rl.updates import Update
from ringlite_cli.train.sharded import references_in_blocks, settle
from ringlite_cli.train.speed import training_flops

log = logging.getLogger(__name__)


def check_arguments(args: Any, prompts: PromptSource | None) -> None:
    """Raise UserError for what a trainer cannot work with, before anything is loaded."""
    if not isinstance(args, C3POConfig):
        raise UserError(
            f"a {type(args).__name__} has no token budget",
            where="args",
            hint="make a ringlite.C3POConfig of its fields",
        )
    if prompts is None and args.undershoot == "refill":
        raise UserError("refilling needs a source of further prompts", where="undershoot", hint="pass `prompts`")


class C3POTrainer(HalvedRows, RolloutTrainer):
    """See the top of this file. `on_rollout(rows)` gets every response of a rollout, on the main rank."""

    _tag_names = ["trl", "c3po"]  # noqa: RUF012 - declared so by TRL
    _name = "C3PO"
    _paper = {  # noqa: RUF012
        "title": "Ring-lite: Scalable Reasoning via C3PO-Stabilized Reinforcement Learning for LLMs",
        "id": "2506.14731",
    }
    mask_truncated_completions: bool

    def __init__(
        self,
        model: str | PreTrainedModel,
        reward_funcs: Any,
        args: C3POConfig,
        *,
        on_rollout: Callable[[list[RolloutRow]], None] | None = None,
        prompts: PromptSource | None = None,
        streams: Callable[[Any], Stream] | None = None,
        in_small: Any = None,
        **kwargs: Any,
    ) -> None:
        """in_small: the small copy of a model that will be shared out, where it is made already."""
        check_arguments(args, prompts)
        check_trainable(model, kwargs.get("peft_config"), has_reference=bool(args.beta), uses_vllm=args.use_vllm)
        register()
        check_dataset(args, kwargs.get("train_dataset"))
        if not args.rows_are_given:
            derive_rows(args, model, kwargs)
        if args.use_liger_kernel:
            keep_to_triton()
        with references_in_blocks(), float32_head("trl.trainer.grpo_trainer"), targets_as_given():
            super().__init__(model=model, reward_funcs=reward_funcs, args=args, **kwargs)
        settle(self.accelerator, self.model)
        self._take_over_from_trl()
        self.on_rollout = on_rollout
        self.algorithm = algorithm_of(args.algorithm)
        self._prepare_rollouts(prompts, streams, kwargs.get("train_dataset"))
        self._prepare_updates(in_small)

    def _take_over_from_trl(self) -> None:
        """Switch off what TRL would do with a whole rollout, and what a model's own settings would do to drawing."""
        # TRL would compute reference log-probs of the whole rollout; here they come after the selection
        self.kl_coef, self.beta = self.beta, 0.0
        # TRL's masking would hide the length of truncated responses; here they are left out of the selection
        self.skip_truncated = self.mask_truncated_completions or self.args.overlong.rule == "mask"
        self.mask_truncated_completions = False
        # `generate` crashes on router logits; the tap asks for them in the training forward alone
        if hasattr(self.model.config.get_text_config(), "output_router_logits"):
            self.model.config.get_text_config().output_router_logits = False

        name_experts(self.model.config)
        # transformers would fill in whatever the folder sets: beams, penalties, suppressed tokens ...
        lm = base_causal_lm(self.model)
        lm.generation_config = only_ends(lm.generation_config)

    def _prepare_updates(self, in_small: Any) -> None:
        args = self.args
        self.row_path: RowPath | None = None  # how packed rows are run, once the check has found out
        self.resumed_from: Path | None = None
        self.step_stats: MetricsRow = {}
        self.held_out_scores: Scores | None = None  # where they were measured after the step at hand
        self.update_began = time.perf_counter()
        """When the passes of the step at hand began."""
        self._warned_of_short_step = False
        self.tap = RouterTap(self.model)
        self._numbers = StepNumbers(
            self.accelerator, self.tap, self.remedy, tuple(m.key for m in self.algorithm.metrics)
        )
        self._router_on = bool(args.router_balance_coef or args.router_z_loss_coef)
        self._router_seen = self._router_on
        if args.router_bias_rate:
            self.add_callback(RouterBias(self.model, self._numbers, args.router_bias_rate))
        if args.freeze_router:
            for parameter in router_parameters(self.model):
                parameter.requires_grad_(False)
        self.flops = training_flops(self.accelerator.unwrap_model(self.model))
        router_on = self._router_on or bool(args.router_bias_rate)
        self._router_seen = check_model(self, router_on=router_on, in_small=in_small)

    # What TRL calls

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        if "update" in generation_batch:  # it is prepared
            return generation_batch
        position = self._step % self.args.steps_per_generation
        if position == 0 or not self._updates:
            started = time.perf_counter()
            self._seconds = {"rollout": 0.0, "reward": 0.0, "reference": 0.0}
            self._measures = Measures()
            batches, rollout = self._collect(generation_batch)
            self._seconds["rollout"] = time.perf_counter() - started - self._seconds["reward"]
            self._updates = self._plan(batches, rollout)
        rows = self.args.gradient_accumulation_steps
        if position % rows == 0:
            self.update_began = time.perf_counter()
        return {"update": position // rows, "row": position % rows}

    @property
    def pending_updates(self) -> list[Update]:
        """Return this rank's updates of the rollout at hand, trained ones included."""
        return self._updates

    def go_on_from(self, step: int, updates: list[Update]) -> None:
        """Take up training after optimizer step `step`, with the updates that a checkpoint kept of its rollout."""
        self._step = step * self.args.gradient_accumulation_steps
        self._updates = updates

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.resumed_from = Path(resume_from_checkpoint)
        if self.is_fsdp_enabled or not isinstance(self.model, PreTrainedModel):  # sharded, or an adapter alone
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.model, resume_from_checkpoint)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        if "update" not in inputs:
            return super()._compute_loss(model, inputs)
        update = self._updates[inputs["update"]]
        row, size = update.passes(inputs["row"], halved=self.halved)[inputs.get("part", 0)]
        weight = size / max(update.step_size, 1)
        mask = row["shift_labels"] != IGNORED
        with self.tap.open() if self._router_seen else nullcontext():
            out = model(**self._model_inputs(row))
        sums = token_losses(
            out.log_probs,
            row["advantages"],
            mask,
            entropy=out.entropy,
            algorithm=self.algorithm,
            sample=sample_of_token(row),
            old_log_probs=row.get("old_log_probs"),
            ref_log_probs=row.get("ref_log_probs"),
            sampling_log_probs=row.get("sampling_log_probs"),
            weights=row["weights"],
            remedy=self.remedy,
            epsilon_low=self.epsilon_low,
            epsilon_high=self.epsilon_high,
            kl_coef=self.kl_coef,
            entropy_coef=self.args.entropy_coef,
        )
        # Gradients are averaged over ranks, so a rank scales its sum by their number: sum over all ranks / divisor
        world = self.accelerator.num_processes
        loss = sums.loss * world / update.divisor
        balance = z = sums.loss.new_zeros(())
        if self._router_seen:
            self._numbers.add_health(size)
        if self._router_on:
            balance, z = self.tap.losses()
            router = self.args.router_balance_coef * balance + self.args.router_z_loss_coef * z
            loss = loss + world * weight * router
        elif self._router_seen:
            self.tap.forget()
        self._numbers.add(sums, weight * balance, weight * z)
        self._numbers.add_drift(sums, row, update)
        return loss

    # The plan of a rollout's updates, and what it needs of the model

    def _plan(self, batches: list[dict[str, Tensor]], rollout: RolloutBatch) -> list[Update]:
        """Return this rank's updates of one rollout."""
        selections = self._planner.select(rollout, self.budget.tokens, self.state.global_step)
        held = [held_responses(batch) for batch in batches]
        batches.clear()  # with their padding; the caller needs them no more
        updates = []
        for number, picks in enumerate(selections):
            update = self._planner.update(held, rollout, picks, self._budget_step())
            update.stats |= self._stats(rollout, picks, selections if number == 0 else None)
            update.stats["reference_seconds"] = 0.0
            self._add_log_probs(update, off_policy=number > 0)
            updates.append(update)
        updates[0].stats["reference_seconds"] = self._seconds["reference"]
        self._report_rollout(rollout, selections)
        least = min(updates, key=lambda update: update.stats["budget_fill"])
        self._warn_of_short_step(least.stats, len(rollout.lengths))
        return updates

    def _warn_of_short_step(self, stats: MetricsRow, responses: int) -> None:
        """Warn of the first step that does not fill its budget; `budget_fill` in metrics.jsonl has the others."""
        if stats["budget_fill"] < 1 and not self._warned_of_short_step and self.accelerator.is_main_process:
            self._warned_of_short_step = True
            log.warning("step %d trains %s", self.state.global_step + 1, self._short_in_words(stats, responses))

    def _short_in_words(self, stats: MetricsRow, responses: int) -> str:
        if not self.algorithm.has_budget:
            return f"nothing: none of its {responses} responses may be trained"
        refills = self.args.undershoot == "refill" or (self.args.carries and self.args.drop_uninformative)
        cure = "raise refill_rounds, or lower token_budget" if refills else "undershoot: refill asks further prompts"
        return (
            f"{stats['tokens_trained']} of the {stats['budget']} tokens of its budget, and its loss is divided by the "
            f"budget all the same; {cure} (budget_fill in metrics.jsonl tells of the steps to come)"
        )

    def _budget_step(self) -> int:
        """Return the tokens that all ranks train together in the step at hand."""
        return self.budget.tokens * (self.accelerator.num_processes if self.args.token_budget_scope == "rank" else 1)

    def _add_log_probs(self, update: Update, *, off_policy: bool) -> None:
        """Add reference log-probs if there is a KL term, and old ones to updates after a rollout's first."""
        if not (self.kl_coef or off_policy):
            return
        started = time.perf_counter()
        with (
            torch.no_grad(),
            self.accelerator.autocast(),
            disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs),
        ):
            for row in update.rows:
                if self.kl_coef:
                    row["ref_log_probs"] = self._reference_log_probs(row)
                if off_policy:
                    row["old_log_probs"] = self.model(**self._model_inputs(row)).log_probs
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()  # the passes are under way
        self._seconds["reference"] += time.perf_counter() - started

    def _model_inputs(self, row: PackedRow) -> PackedRow:
        inputs = forward_inputs(self.accelerator.unwrap_model(self.model), row)
        return inputs | {"shift_labels": row["shift_labels"], "fused_lm_head": True}

    def _reference_log_probs(self, row: PackedRow) -> Tensor:
        if self.ref_model is not None:
            return self.ref_model(**self._model_inputs(row)).log_probs
        policy = self.accelerator.unwrap_model(self.model)
        with use_adapter(policy, adapter_name="ref") if "ref" in policy.peft_config else switched_off(policy):
            return self.model(**self._model_inputs(row)).log_probs

    # What a step leaves behind

    def _stats(self, rollout: RolloutBatch, picks: list[Pick], all_picks: list[list[Pick]] | None) -> MetricsRow:
        """Return the selection's numbers. A rollout's tokens count once, in the first of its updates (all_picks)."""
        trained = sum(pick.tokens for pick in picks)
        budget = self._budget_step() if self.algorithm.has_budget else trained
        stats: MetricsRow = {"algorithm": self.args.algorithm} | selection_stats(rollout, picks, budget, all_picks)
        stats |= {f"{name}_seconds": self._seconds[name] if all_picks else 0.0 for name in ("rollout", "reward")}
        if all_picks is not None:
            stats["reward_overlap"] = self._measures.overlap
        if all_picks is not None and self.args.overlong.rule == "penalty":
            stats["overlong_penalty"] = self._measures.mean_penalty
        stats["reward_seconds_by_domain"] = dict(sorted(self._measures.seconds.items())) if all_picks else {}
        if all_picks is not None:
            stats = self._measures.numbers | stats  # no number takes the place of a column
        if all_picks is not None and self.budget.change:
            stats["budget_change"] = self.budget.change
        stats |= rollout_stats(rollout, self.num_generations)
        if self.carried is not None:
            del stats["rollout_tail_share"]  # responses did not start together
            stats |= self.carried.stats if all_picks is not None else {}
        return stats

    def _report_rollout(self, rollout: RolloutBatch, selections: list[list[Pick]]) -> None:
        if self.on_rollout is not None and self.accelerator.is_main_process:
            first = rollout.policy_step + 1
            kept = {pick.index: (first + u, pick.tokens) for u, picks in enumerate(selections) for pick in picks}
            self.on_rollout(rollout.rows(kept))

    def _close_step(self, update: Update) -> None:
        """Put the numbers of a finished step into `step_stats` and TRL's own log."""
        self.step_stats = self._numbers.close(update, router_losses=self._router_on, halved=self.halved)
        self.step_stats["tokens_forwarded"] = update.step_size
        self.step_flops = self.flops.of(update.step_size, self.step_stats["tokens_trained"], update.squares)
        logged = self._metrics["train"]
        for name, value in self.step_stats.items():
            if isinstance(value, int | float) and name != "reward":
                logged[name if name in PER_TOKEN else f"c3po/{name}"].append(float(value))
