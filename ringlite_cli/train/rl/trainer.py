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
9. each optimizer step leaves a row of numbers (`step_stats`), each response a row for rollouts.jsonl (`on_rollout`).

Dataloader, generation, rewards, advantages, optimizer, checkpoints and logging are TRL's.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import PreTrainedModel
from trl import GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.budget import Pick, informative_groups
from ringlite_cli.c3po.loss import token_losses
from ringlite_cli.c3po.packing import IGNORED, base_causal_lm, forward_inputs, sample_of_token
from ringlite_cli.c3po.router import RouterTap, router_parameters
from ringlite_cli.c3po.row_path import RowPath
from ringlite_cli.c3po.schedule import Budget
from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import response_texts
from ringlite_cli.errors import Diverged, UserError
from ringlite_cli.models import register
from ringlite_cli.models.experts import name_experts
from ringlite_cli.models.generation import only_ends
from ringlite_cli.train.finite import FiniteGradients
from ringlite_cli.train.resume.checkpoints import load_weights
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.model_checks import probe
from ringlite_cli.train.rl.pending_updates import PendingUpdates
from ringlite_cli.train.rl.prompts import PromptSource
from ringlite_cli.train.rl.record import Measures, Recorded, Recorder
from ringlite_cli.train.rl.rollout import Rollout, rollout_stats, selection_stats
from ringlite_cli.train.rl.rows import check_dataset, derive_rows
from ringlite_cli.train.rl.run_state import RunState, WhenSharded
from ringlite_cli.train.rl.step_metrics import PER_TOKEN, StepNumbers
from ringlite_cli.train.rl.updates import Planner, Update
from ringlite_cli.train.rl.verify_ahead import verified_ahead

log = logging.getLogger(__name__)

Row = dict[str, Any]


class C3POTrainer(FiniteGradients, GRPOTrainer):
    """See the top of this file. `on_rollout(rows)` gets every response of a rollout, on the main rank."""

    _tag_names = ["trl", "c3po"]  # noqa: RUF012 - declared so by TRL
    _name = "C3PO"
    _paper = {  # noqa: RUF012
        "title": "Ring-lite: Scalable Reasoning via C3PO-Stabilized Reinforcement Learning for LLMs",
        "id": "2506.14731",
    }
    args: C3POConfig
    beta: float
    num_generations: int
    _logs: dict[str, Any]
    mask_truncated_completions: bool

    def __init__(
        self,
        model: str | PreTrainedModel,
        reward_funcs: Any,
        args: C3POConfig,
        *,
        on_rollout: Callable[[list[Row]], None] | None = None,
        prompts: PromptSource | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(args, C3POConfig):
            raise UserError(
                f"a {type(args).__name__} has no token budget",
                where="args",
                hint="make a ringlite.C3POConfig of its fields",
            )
        if prompts is None and args.undershoot == "refill":
            raise UserError("refilling needs a source of further prompts", where="undershoot", hint="pass `prompts`")
        register()
        check_dataset(args, kwargs.get("train_dataset"))
        if not args.rows_are_given:
            derive_rows(args, model, kwargs)
        super().__init__(model=model, reward_funcs=reward_funcs, args=args, **kwargs)
        # TRL would compute reference log-probs of the whole rollout; here they come after the selection
        self.kl_coef, self.beta = self.beta, 0.0
        # TRL's masking would hide the length of truncated responses; here they are left out of the selection
        self.skip_truncated, self.mask_truncated_completions = self.mask_truncated_completions, False
        # `generate` crashes on router logits; the tap asks for them in the training forward alone
        if hasattr(self.model.config.get_text_config(), "output_router_logits"):
            self.model.config.get_text_config().output_router_logits = False

        name_experts(self.model.config)
        # transformers would fill in whatever the folder sets: beams, penalties, suppressed tokens ...
        lm = base_causal_lm(self.model)
        lm.generation_config = only_ends(lm.generation_config)

        self.on_rollout, self.prompts = on_rollout, prompts
        self.budget = Budget(args.schedule)
        self.algorithm = algorithm_of(args.algorithm)
        self.add_callback(RunState(self.budget, prompts))
        self.add_callback(PendingUpdates(self))
        self.row_path: RowPath | None = None  # how packed rows are run, once the probe has found out
        self.resumed_from: Path | None = None
        self.step_stats: Row = {}
        self._seconds = {"rollout": 0.0, "reward": 0.0}
        self._measures = Measures()
        self._recorder = Recorder(self.accelerator)
        self._updates: list[Update] = []
        self._warned_of_short_step = False
        self._planner = Planner(args, self.accelerator, self.num_generations, skip_truncated=self.skip_truncated)
        self.tap = RouterTap(self.model)
        self._numbers = StepNumbers(self.accelerator, self.tap, tuple(m.key for m in self.algorithm.metrics))
        self._router_on = bool(args.router_balance_coef or args.router_z_loss_coef)
        self._router_seen = self._router_on
        if args.freeze_router:
            for parameter in router_parameters(self.model):
                parameter.requires_grad_(False)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:  # parameters are in pieces until train()
            self.add_callback(WhenSharded(self._probe))
        else:
            self._probe()

    def _probe(self) -> None:
        self._router_seen = probe(self, router_on=self._router_on)

    # What TRL calls

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        position = self._step % self.args.steps_per_generation
        if position == 0 or not self._updates:
            started = time.perf_counter()
            self._seconds = {"rollout": 0.0, "reward": 0.0}
            self._measures = Measures()
            batches, rollout = self._collect(generation_batch)
            self._seconds["rollout"] = time.perf_counter() - started - self._seconds["reward"]
            self._updates = self._plan(batches, rollout)
        rows = self.args.gradient_accumulation_steps
        return {"update": position // rows, "row": position % rows}

    def _collect(self, generation_batch: list[Row]) -> tuple[list[dict[str, Tensor]], Rollout]:
        """Roll out this step's prompts, and more while the budget is not filled and may be refilled."""
        asked = generation_batch
        if self.prompts is not None and self.prompts.draws_all:
            asked = self._draw(len(generation_batch) * self.accelerator.num_processes // self.num_generations)
        batch, recorded = self._roll_out(asked)
        batches, rollout = [batch], self._gather_rollout(asked, batch, recorded)
        self._move_budget(rollout)
        rounds = self.args.refill_rounds if self.args.undershoot == "refill" else 0
        for _ in range(rounds):
            missing = self._planner.missing(rollout, self.budget.tokens)
            if not missing:
                break
            asked = self._draw(self._prompts_for(missing, rollout))
            batch, recorded = self._roll_out(asked)
            batches.append(batch)
            rollout.extend(self._gather_rollout(asked, batch, recorded))
        return batches, rollout

    def _draw(self, prompts: int) -> list[Row]:
        """Draw `prompts` more prompts and return this rank's share, each repeated `num_generations` times."""
        assert self.prompts is not None
        rows = [row for row in self.prompts.draw(prompts) for _ in range(self.num_generations)]
        size = len(rows) // self.accelerator.num_processes
        first = self.accelerator.process_index * size
        return rows[first : first + size]

    def _prompts_for(self, missing: int, rollout: Rollout) -> int:
        """Return how many prompts should bring `missing` tokens, judged by those asked so far; at most a rollout's."""
        asked = len(rollout.lengths) // self.num_generations
        found = min(sum(rollout.lengths[i] for i in pool) for pool in self._planner.pools(rollout))
        assert self.args.generation_batch_size is not None  # TRL has filled it in
        most = self.args.generation_batch_size // self.num_generations
        wanted = min(most, math.ceil(asked * missing / found)) if found else most
        world = self.accelerator.num_processes
        unit = world // math.gcd(world, self.num_generations)  # groups that all ranks can share
        return min(most, math.ceil(wanted / unit) * unit)

    def _move_budget(self, rollout: Rollout) -> None:
        informative = informative_groups(rollout.rewards, self.num_generations)
        lengths = [n for i, n in enumerate(rollout.lengths) if informative[i // self.num_generations]]
        scored = [reward for reward in rollout.rewards if reward is not None]
        self.budget.move(
            self.state.global_step,
            sum(lengths) / len(lengths) if lengths else None,
            sum(scored) / len(scored) if scored else 0.0,
        )

    def _roll_out(self, generation_batch: Any) -> tuple[dict[str, Tensor], Recorded]:
        """Generate and score responses; return TRL's batch of this rank, and the record of all ranks."""
        self._recorder.start(self.state.global_step)
        try:
            with self._no_old_log_probs(), verified_ahead(self, generation_batch):
                batch = self._generate_and_score_completions(generation_batch)
        except RuntimeError as error:
            if "probability tensor contains" not in str(error):
                raise
            raise Diverged(
                f"the policy's probabilities are not finite in step {self.state.global_step + 1}: it has diverged",
                self.state.global_step + 1,
                hint="the last checkpoint may be sound; lower the learning rate",
            ) from None
        return batch, self._recorder.finish(batch["advantages"])

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        """Conversations become tokens as in all other stages."""
        if isinstance(prompts[0], str) or self.tools or self.environment_factories is not None or self._is_vlm:
            return super()._tokenize_prompts(prompts)
        known: dict[str, list[int]] = {}  # a prompt is asked several times
        for each in prompts:
            key = str(each)
            if key not in known:
                known[key] = prompt_ids(self.processing_class, each)
        return [known[str(each)] for each in prompts], None, {}

    def _generate(self, prompts: list[Any]) -> Any:
        """TRL leaves special tokens out of a response; one that ends a thought has to stay for the reward to see."""
        generated = list(super()._generate(prompts))
        if not isinstance(prompts[0], str) and not self.tools:
            texts = response_texts(self.processing_class, generated[1])
            generated[3] = [[{"role": "assistant", "content": text}] for text in texts]
        return tuple(generated)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        started = time.perf_counter()
        rewards: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seconds["reward"] += time.perf_counter() - started
        self._recorder.scored(prompts, completions, rewards)
        self._measures.add(self.reward_funcs)
        return rewards

    def _log_completion_extra(self, column: str, values: list[Any]) -> None:
        self._recorder.column(column, values)
        super()._log_completion_extra(column, values)

    @property
    def pending_updates(self) -> list[Update]:
        """This rank's updates of the rollout at hand, trained ones included."""
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

    def _compute_loss(self, model: Any, inputs: Row) -> Tensor:
        if "update" not in inputs:
            return super()._compute_loss(model, inputs)
        update = self._updates[inputs["update"]]
        row = update.rows[inputs["row"]]
        weight = update.row_sizes[inputs["row"]] / max(update.step_size, 1)
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
            importance_cap=self.args.importance_cap,
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
            self._numbers.add_health(update.row_sizes[inputs["row"]])
        if self._router_on:
            balance, z = self.tap.losses()
            router = self.args.router_balance_coef * balance + self.args.router_z_loss_coef * z
            loss = loss + world * weight * router
        elif self._router_seen:
            self.tap.forget()
        self._numbers.add(sums, weight * balance, weight * z)
        if inputs["row"] == self.args.gradient_accumulation_steps - 1:
            self._close_step(update)
        return loss

    # The plan of a rollout's updates, and what it needs of the model

    def _plan(self, batches: list[dict[str, Tensor]], rollout: Rollout) -> list[Update]:
        """This rank's updates of one rollout."""
        selections = self._planner.select(rollout, self.budget.tokens, self.state.global_step)
        # Copied from the GPU once and whole, not response by response
        read = [{name: x.cpu() for name, x in batch.items() if isinstance(x, Tensor)} for batch in batches]
        updates = []
        for number, picks in enumerate(selections):
            update = self._planner.update(read, rollout, picks, self._budget_step())
            update.stats |= self._stats(rollout, picks, selections if number == 0 else None)
            self._add_log_probs(update, off_policy=number > 0)
            updates.append(update)
        self._report_rollout(rollout, selections)
        self._warn_of_short_step(min(updates, key=lambda update: update.stats["budget_fill"]).stats)
        return updates

    def _warn_of_short_step(self, stats: Row) -> None:
        """Warn of the first step that does not fill its budget; `budget_fill` in metrics.jsonl has the others."""
        if stats["budget_fill"] < 1 and not self._warned_of_short_step and self.accelerator.is_main_process:
            self._warned_of_short_step = True
            log.warning(
                "step %d trains %d of the %d tokens of its budget, and its loss is divided by the budget all the same; "
                "undershoot: refill asks further prompts (budget_fill in metrics.jsonl tells of the steps to come)",
                self.state.global_step + 1,
                stats["tokens_trained"],
                stats["budget"],
            )

    def _budget_step(self) -> int:
        """Tokens that all ranks train together in the step at hand."""
        return self.budget.tokens * (self.accelerator.num_processes if self.args.token_budget_scope == "rank" else 1)

    def _gather_rollout(self, asked: list[Row], batch: dict[str, Tensor], recorded: Recorded) -> Rollout:
        loss_mask = batch["completion_mask"] * batch.get("tool_mask", torch.ones_like(batch["completion_mask"]))
        sizes = batch["completion_mask"].sum(1)
        last = batch["completion_ids"].gather(1, (sizes - 1).clamp(min=0)[:, None]).squeeze(1)
        ends = torch.tensor([*self.eos_token_ids, self._tokenizer.pad_token_id], device=last.device)
        local = torch.stack([loss_mask.sum(1), torch.isin(last, ends).long()], dim=1)
        facts = self.accelerator.gather(local).tolist()
        fields = ("problem_id", "domain", "known_labels")
        names = gather_object([tuple(str(x.get(field, "")) for field in fields) for x in asked])
        count = len(facts)
        size = count // self.accelerator.num_processes
        rollout = Rollout(
            lengths=[length for length, _ in facts],
            ended=[bool(ended) for _, ended in facts],
            rewards=[self._total_reward(each) for each in recorded.rewards],
            advantages=recorded.advantages,
            domains=[domain for _, domain, _ in names],
            prompt_ids=[name for name, *_ in names],
            places=[(i // size, 0, i % size) for i in range(count)],
            prompts=recorded.prompts,
            responses=recorded.responses,
            verdicts=recorded.verdicts,
            labels=[json.loads(labels or "{}") for *_, labels in names],
            policy_step=recorded.policy_step,
        )
        if self.prompts is not None:
            group = self.num_generations
            self.prompts.note(
                rollout.prompt_ids[::group], [rollout.rewards[i : i + group] for i in range(0, count, group)]
            )
        return rollout

    def _total_reward(self, rewards: Sequence[float]) -> float | None:
        scored = [
            reward * weight
            for reward, weight in zip(rewards, self.reward_weights.tolist(), strict=True)
            if not math.isnan(reward)
        ]
        return sum(scored) if scored else None

    def _add_log_probs(self, update: Update, *, off_policy: bool) -> None:
        """Reference log-probs where there is a KL term; old ones for updates after a rollout's first."""
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

    def _model_inputs(self, row: Row) -> Row:
        inputs = forward_inputs(self.accelerator.unwrap_model(self.model), row)
        return inputs | {"shift_labels": row["shift_labels"], "fused_lm_head": True}

    def _reference_log_probs(self, row: Row) -> Tensor:
        if self.ref_model is not None:
            return self.ref_model(**self._model_inputs(row)).log_probs
        policy = self.accelerator.unwrap_model(self.model)
        with use_adapter(policy, adapter_name="ref" if "ref" in policy.peft_config else None):
            return self.model(**self._model_inputs(row)).log_probs

    @contextmanager
    def _no_old_log_probs(self) -> Iterator[None]:
        """TRL would compute old log-probs of the whole padded rollout where it serves several updates."""
        rows, self.args.gradient_accumulation_steps = (
            self.args.gradient_accumulation_steps,
            self.args.steps_per_generation,
        )
        try:
            yield
        finally:
            self.args.gradient_accumulation_steps = rows

    # What a step leaves behind

    def _stats(self, rollout: Rollout, picks: list[Pick], all_picks: list[list[Pick]] | None) -> Row:
        """The selection's numbers. A rollout's tokens are counted once, in the first of its updates (all_picks)."""
        trained = sum(pick.tokens for pick in picks)
        budget = self._budget_step() if self.algorithm.has_budget else trained
        stats: Row = {"algorithm": self.args.algorithm} | selection_stats(rollout, picks, budget, all_picks)
        stats |= {f"{name}_seconds": seconds if all_picks else 0.0 for name, seconds in self._seconds.items()}
        stats["reward_overlap"] = self._measures.overlap if all_picks else 0.0
        stats["reward_seconds_by_domain"] = dict(sorted(self._measures.seconds.items())) if all_picks else {}
        if all_picks is not None:
            stats = self._measures.numbers | stats  # no number takes the place of a column
        if all_picks is not None and self.budget.change:
            stats["budget_change"] = self.budget.change
        return stats | rollout_stats(rollout, self.num_generations)

    def _report_rollout(self, rollout: Rollout, selections: list[list[Pick]]) -> None:
        if self.on_rollout is not None and self.accelerator.is_main_process:
            first = rollout.policy_step + 1
            kept = {pick.index: (first + u, pick.tokens) for u, picks in enumerate(selections) for pick in picks}
            self.on_rollout(rollout.rows(kept))

    def _close_step(self, update: Update) -> None:
        """Put the numbers of a finished step into `step_stats` and TRL's own log."""
        self.step_stats = self._numbers.close(update, router_losses=self._router_on)
        logged = self._metrics["train"]
        for name, value in self.step_stats.items():
            if isinstance(value, int | float) and name != "reward":
                logged[name if name in PER_TOKEN else f"c3po/{name}"].append(float(value))
