"""C3PO on TRL's GRPOTrainer.

GRPOTrainer, except:
1. after rewards and advantages, exactly Phi response tokens are picked (Eq. 2, 3); the rest of the rollout is dropped;
   (`algorithm` grpo, dapo and dr_grpo take every response and their own divisor, through the same packed path);
2. the picked prefixes are packed into rows, told apart by position ids, and balanced over micro-batches and ranks;
3. loss, KL and entropy are sums over tokens with one division by the constant Phi, so nothing depends on the layout;
4. reference and old log-probabilities are computed on the picked tokens alone, old ones only where they are needed;
5. the router's balance and z-loss (Eq. 5) are weighted by the tokens of a row;
6. a `prompts` source draws prompts by difficulty, and further ones where a budget is not filled (`undershoot`);
7. a checkpoint is loaded whole (transformers' Trainer leaves out the experts of a mixture);
8. each optimizer step leaves a row of numbers (`step_stats`), each response a row for rollouts.jsonl (`on_rollout`).

Dataloader, generation, rewards, advantages, optimizer, checkpoints and logging are TRL's.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_callback import ExportableState
from trl import GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from ringlite_cli.c3po.budget import Pick, informative_groups, pick_updates, seeded_order
from ringlite_cli.c3po.loss import step_divisor, token_losses, token_weights
from ringlite_cli.c3po.packing import (
    IGNORED,
    Sample,
    balance_rows,
    base_causal_lm,
    check_packing_is_isolated,
    forward_inputs,
    pack_row,
    use_packed_attention,
)
from ringlite_cli.c3po.router import (
    RouterTap,
    check_router_is_visible,
    check_router_learns,
    health_numbers,
    router_parameters,
)
from ringlite_cli.c3po.schedule import Budget
from ringlite_cli.errors import Diverged, UserError, WorkFailed
from ringlite_cli.train.c3po_config import C3POConfig
from ringlite_cli.train.checkpoints import load_weights
from ringlite_cli.train.prompts import PromptSource
from ringlite_cli.train.rollout import Rollout, domain_tokens, rollout_stats

Row = dict[str, Any]


@dataclass(slots=True)
class Update:
    """One optimizer step of this rank: its packed rows, and the step's real forwarded tokens over all ranks.

    divisor: of the loss, over all ranks (Phi, for C3PO).
    """

    rows: list[Row]
    row_sizes: list[int]
    step_size: int
    stats: Row
    divisor: float = 1.0


class RunState(TrainerCallback, ExportableState):
    """Keeps the budget and the prompt source in the checkpoint's trainer_state.json, and puts them back on a resume."""

    def __init__(self, budget: Budget | None = None, prompts: PromptSource | None = None) -> None:
        self.budget, self.prompts = budget, prompts

    def state(self) -> dict[str, Any]:
        parts = {"budget": self.budget, "prompts": self.prompts}
        return {"args": {}, "attributes": {name: part.state() for name, part in parts.items() if part is not None}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks.get(type(self).__name__)
        saved = saved[-1] if isinstance(saved, list) else saved
        if saved and state.global_step:
            for name, part in (("budget", self.budget), ("prompts", self.prompts)):
                if part is not None and name in saved["attributes"]:
                    part.restore(saved["attributes"][name])


class _WhenSharded(TrainerCallback):
    """Runs the probes when a sharded model has been put together; the Trainer's wrapper is then `model_wrapped`."""

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._probe()


class C3POTrainer(GRPOTrainer):
    """See the top of this file. `on_rollout(rows)` gets every response of a rollout, on the main rank."""

    _tag_names: ClassVar = ["trl", "c3po"]
    _name = "C3PO"
    _paper: ClassVar = {
        "title": "Ring-lite: Scalable Reasoning via C3PO-Stabilized Reinforcement Learning for LLMs",
        "id": "2506.14731",
    }
    args: C3POConfig
    beta: float
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
        if prompts is None and args.undershoot == "refill":
            raise UserError("refilling needs a source of further prompts", where="undershoot", hint="pass `prompts`")
        super().__init__(model=model, reward_funcs=reward_funcs, args=args, **kwargs)
        # TRL would compute reference log-probs of the whole rollout; here they come after the selection
        self.kl_coef, self.beta = self.beta, 0.0
        # TRL's masking would hide the length of truncated responses; here they are left out of the selection
        self.skip_truncated, self.mask_truncated_completions = self.mask_truncated_completions, False
        # `generate` crashes on router logits; the tap asks for them in the training forward alone
        if hasattr(self.model.config.get_text_config(), "output_router_logits"):
            self.model.config.get_text_config().output_router_logits = False

        self.on_rollout, self.prompts = on_rollout, prompts
        self.budget = Budget(args.schedule)
        self.add_callback(RunState(self.budget, prompts))
        self.step_stats: Row = {}
        self._seconds = {"rollout": 0.0, "reward": 0.0}
        self._sums: Tensor | None = None
        self._health: Tensor | None = None
        self._updates: list[Update] = []
        self._tap = RouterTap(self.model)
        self._router_on = bool(args.router_balance_coef or args.router_z_loss_coef)
        self._router_seen = self._router_on
        if args.freeze_router:
            for parameter in router_parameters(self.model):
                parameter.requires_grad_(False)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:  # parameters are in pieces until train()
            self.add_callback(_WhenSharded(self._probe))
        else:
            self._probe()

    def _probe(self) -> None:
        """Chooses the attention, and refuses a model that this objective cannot train. Runs on all ranks alike."""
        with self.accelerator.autocast():
            if (self.args.model_init_kwargs or {}).get("attn_implementation"):
                check_packing_is_isolated(self.model)
            else:
                attention = use_packed_attention(self.model)
                if self.ref_model is not None:
                    base_causal_lm(self.accelerator.unwrap_model(self.ref_model)).set_attn_implementation(attention)
            if self._router_on:
                check_router_is_visible(self.model, self._tap)
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if self._router_on and not sharded:
            check_router_learns(self.model, self._tap)
        self._router_seen = self._router_on or (not sharded and self._has_router())

    def _has_router(self) -> bool:
        """Whether there are router logits to keep an eye on, though no coefficient is set."""
        if not router_parameters(self.model):
            return False
        try:
            check_router_is_visible(self.model, self._tap)
        except UserError:
            return False
        return True

    # What TRL calls

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        position = self._step % self.args.steps_per_generation
        if position == 0 or not self._updates:
            started = time.perf_counter()
            self._seconds = {"rollout": 0.0, "reward": 0.0}
            batches, rollout = self._collect(generation_batch)
            self._seconds["rollout"] = time.perf_counter() - started - self._seconds["reward"]
            self._updates = self._plan(batches, rollout)
        rows = self.args.gradient_accumulation_steps
        return {"update": position // rows, "row": position % rows}

    def _collect(self, generation_batch: list[Row]) -> tuple[list[dict[str, Tensor]], Rollout]:
        """The rollout of this step, and further ones while its budget is not filled and may be refilled."""
        asked = generation_batch
        if self.prompts is not None and self.prompts.draws_all:
            asked = self._draw(len(generation_batch) * self.accelerator.num_processes // self.num_generations)
        batches = [self._roll_out(asked)]
        rollout = self._gather_rollout(asked, batches[0])
        self._move_budget(rollout)
        rounds = self.args.refill_rounds if self.args.undershoot == "refill" else 0
        for _ in range(rounds):
            missing = self._missing(rollout)
            if not missing:
                break
            asked = self._draw(self._prompts_for(missing, rollout))
            batches.append(self._roll_out(asked))
            rollout.extend(self._gather_rollout(asked, batches[-1]))
        return batches, rollout

    def _draw(self, prompts: int) -> list[Row]:
        """This rank's rows of so many further prompts, each asked a whole group's times."""
        assert self.prompts is not None
        rows = [row for row in self.prompts.draw(prompts) for _ in range(self.num_generations)]
        size = len(rows) // self.accelerator.num_processes
        first = self.accelerator.process_index * size
        return rows[first : first + size]

    def _missing(self, rollout: Rollout) -> int:
        """Tokens by which the rollout falls short of its updates' budgets: of the rank that lacks most, or of all."""
        wanted = self.budget.tokens * self.args.updates_per_rollout
        pools = self._pools(rollout)
        return max(max(0, wanted - sum(rollout.lengths[i] for i in pool)) for pool in pools)

    def _prompts_for(self, missing: int, rollout: Rollout) -> int:
        """Prompts that should bring the missing tokens, at the rate of those asked so far; at most a rollout's."""
        asked = len(rollout.lengths) // self.num_generations
        found = min(sum(rollout.lengths[i] for i in pool) for pool in self._pools(rollout))
        most = self.args.generation_batch_size // self.num_generations  # what TRL's own logs hold
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

    def _roll_out(self, generation_batch: Any) -> dict[str, Tensor]:
        try:
            with self._no_old_log_probs():
                return self._generate_and_score_completions(generation_batch)
        except RuntimeError as error:
            if "probability tensor contains" not in str(error):
                raise
            raise Diverged(
                f"the policy's probabilities are not finite in step {self.state.global_step + 1}: it has diverged",
                self.state.global_step + 1,
                hint="the last checkpoint may be sound; lower the learning rate",
            ) from None

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        started = time.perf_counter()
        rewards = super()._calculate_rewards(*args, **kwargs)
        self._seconds["reward"] += time.perf_counter() - started
        return rewards

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
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
        with self._tap.open() if self._router_seen else nullcontext():
            out = model(**self._model_inputs(row))
        sums = token_losses(
            out.log_probs,
            row["advantages"],
            mask,
            entropy=out.entropy,
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
            self._add_health(update.row_sizes[inputs["row"]])
        if self._router_on:
            balance, z = self._tap.losses()
            router = self.args.router_balance_coef * balance + self.args.router_z_loss_coef * z
            loss = loss + world * weight * router
        self._add_up(sums.kl, sums.entropy, sums.clipped, sums.mismatch, sums.tokens, weight * balance, weight * z)
        if inputs["row"] == self.args.gradient_accumulation_steps - 1:
            self._close_step(update)
        return loss

    # The plan: pick -> gather -> balance -> pack -> log-probs

    def _plan(self, batches: list[dict[str, Tensor]], rollout: Rollout) -> list[Update]:
        """This rank's updates of one rollout."""
        selections = self._select(rollout)
        updates = []
        for number, picks in enumerate(selections):
            update = self._pack(self._share(self._local_samples(batches, rollout, picks)))
            update.divisor = step_divisor(
                self.args.algorithm,
                budget=self._budget_step(),
                tokens=sum(pick.tokens for pick in picks),
                responses=len(picks),
                longest=self.max_completion_length,
            )
            update.stats |= self._stats(rollout, picks, selections if number == 0 else None)
            self._add_log_probs(update, off_policy=number > 0)
            updates.append(update)
        self._report_rollout(rollout, selections)
        return updates

    def _budget_step(self) -> int:
        """Tokens that all ranks train together in the step at hand."""
        return self.budget.tokens * (self.accelerator.num_processes if self.args.token_budget_scope == "rank" else 1)

    def _gather_rollout(self, asked: list[Row], batch: dict[str, Tensor]) -> Rollout:
        loss_mask = batch["completion_mask"] * batch.get("tool_mask", torch.ones_like(batch["completion_mask"]))
        sizes = batch["completion_mask"].sum(1)
        last = batch["completion_ids"].gather(1, (sizes - 1).clamp(min=0)[:, None]).squeeze(1)
        ends = torch.tensor([*self.eos_token_ids, self._tokenizer.pad_token_id], device=last.device)
        local = torch.stack([loss_mask.sum(1), torch.isin(last, ends).long()], dim=1)
        facts = self.accelerator.gather(local).tolist()
        names = gather_object([(str(x.get("problem_id", "")), str(x.get("domain", ""))) for x in asked])
        count = len(facts)
        per_function = [list(self._logs["rewards"][name])[-count:] for name in self.reward_func_names]
        size = count // self.accelerator.num_processes
        rollout = Rollout(
            lengths=[length for length, _ in facts],
            ended=[bool(ended) for _, ended in facts],
            rewards=[self._total_reward(each) for each in zip(*per_function, strict=True)],
            advantages=list(self._logs["advantages"])[-count:],
            domains=[domain for _, domain in names],
            prompt_ids=[name for name, _ in names],
            places=[(i // size, 0, i % size) for i in range(count)],
            prompts=list(self._logs["prompt"])[-count:],
            responses=list(self._logs["completion"])[-count:],
            verdicts=list(self._logs["extra"].get("verdict", []))[-count:] or [""] * count,
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

    def _pools(self, rollout: Rollout) -> list[list[int]]:
        """The responses that may be trained: of all ranks together, or of each, by the budget's scope."""
        informative = informative_groups(rollout.rewards, self.num_generations)
        allowed = [
            index
            for index, reward in enumerate(rollout.rewards)
            if reward is not None
            and (informative[index // self.num_generations] or not self.args.drop_uninformative)
            and (rollout.ended[index] or not self.skip_truncated)
        ]
        if self.args.token_budget_scope == "global":
            return [allowed]
        return [[i for i in allowed if rollout.places[i][0] == r] for r in range(self.accelerator.num_processes)]

    def _select(self, rollout: Rollout) -> list[list[Pick]]:
        """The picks of each update. Responses without a verdict have no advantage and are not picked."""
        if all(reward is None for reward in rollout.rewards):
            raise WorkFailed(
                f"no response of step {self.state.global_step + 1} got a verdict",
                hint="the verdicts in rollouts.jsonl and `ringlite doctor` tell what is wrong with the verifier",
            )
        updates = self.args.updates_per_rollout
        selections: list[list[Pick]] = [[] for _ in range(updates)]
        for pool in self._pools(rollout):
            order = seeded_order(pool, self.args.seed, self.state.global_step)
            if self.args.algorithm == "c3po":
                by_update = pick_updates(rollout.lengths, self.budget.tokens, order, updates, self.args.cut)
            else:
                whole = [Pick(i, rollout.lengths[i]) for i in order if rollout.lengths[i]]
                by_update = [whole[number::updates] for number in range(updates)]
            for selection, picks in zip(selections, by_update, strict=True):
                selection += picks
        return selections

    def _local_samples(self, batches: list[dict[str, Tensor]], rollout: Rollout, picks: Sequence[Pick]) -> list[Sample]:
        """The picked prefixes of this rank's own responses."""
        samples = []
        for pick in sorted(picks):
            rank, batch_index, i = rollout.places[pick.index]
            if rank != self.accelerator.process_index:
                continue
            batch = batches[batch_index]
            response = batch["completion_ids"][i, : batch["completion_mask"][i].sum()].tolist()
            trained = batch["tool_mask"][i, : len(response)].bool().tolist() if "tool_mask" in batch else None
            end = pick.tokens if trained is None else _position_of(trained, pick.tokens)
            sampled = batch.get("sampling_per_token_logps")
            samples.append(
                Sample(
                    index=pick.index,
                    prompt=batch["prompt_ids"][i][batch["prompt_mask"][i].bool()].tolist(),
                    response=response[:end],
                    advantage=batch["advantages"][i].item(),
                    trained=None if trained is None else trained[:end],
                    sampled=None if sampled is None else sampled[i, :end].tolist(),
                    weight=token_weights(self.args.algorithm, [pick.tokens])[0],
                )
            )
        return samples

    def _share(self, samples: list[Sample]) -> list[Sample]:
        """All ranks' samples where the budget is of the whole step; a rank keeps its own where it is its own."""
        if self.args.token_budget_scope == "rank" or self.accelerator.num_processes == 1:
            return samples
        return sorted(gather_object(samples), key=lambda sample: sample.index)

    def _pack(self, samples: list[Sample]) -> Update:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        shared = self.args.token_budget_scope == "global"
        rows = self.args.gradient_accumulation_steps * (world if shared else 1)
        members = balance_rows([sample.size for sample in samples], rows)
        mine = members[rank::world] if shared else members
        sizes = [sum(samples[i].size for i in row) for row in mine]
        local = torch.tensor([sum(sizes), max(sizes)], device=self.accelerator.device)
        both = self.accelerator.gather(local).view(-1, 2)
        step_size, largest = int(both[:, 0].sum()), int(both[:, 1].max())
        all_rows = self.args.gradient_accumulation_steps * world
        return Update(
            rows=[pack_row([samples[i] for i in row], self.accelerator.device) for row in mine],
            row_sizes=sizes,
            step_size=step_size,
            stats={"row_fill": step_size / max(all_rows * largest, 1), "row_tokens_max": largest},
        )

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
        budget = self._budget_step() if self.args.algorithm == "c3po" else trained
        stats: Row = {
            "algorithm": self.args.algorithm,
            "budget": budget,
            "tokens_trained": trained,
            "responses_trained": len(picks),
            "budget_fill": trained / max(budget, 1),
            "tokens_generated": 0,
            "tokens_dropped": 0,
            "tokens_refilled": 0,
            "rollout_seconds": 0.0,
            "reward_seconds": 0.0,
        }
        if all_picks is not None:
            generated = sum(rollout.lengths)
            stats["tokens_generated"] = generated
            stats["tokens_dropped"] = generated - sum(pick.tokens for each in all_picks for pick in each)
            stats["tokens_refilled"] = sum(
                n for n, place in zip(rollout.lengths, rollout.places, strict=True) if place[1]
            )
            stats["tokens_by_domain"] = domain_tokens(rollout, [pick for each in all_picks for pick in each])
            stats |= {f"{name}_seconds": seconds for name, seconds in self._seconds.items()}
            if self.budget.change:
                stats["budget_change"] = self.budget.change
        return stats | rollout_stats(rollout, self.num_generations)

    def _report_rollout(self, rollout: Rollout, selections: list[list[Pick]]) -> None:
        if self.on_rollout is not None and self.accelerator.is_main_process:
            first = self.state.global_step + 1
            kept = {pick.index: (first + u, pick.tokens) for u, picks in enumerate(selections) for pick in picks}
            self.on_rollout(rollout.rows(kept, first))

    def _add_health(self, tokens: int) -> None:
        """A filler row's tokens are no load."""
        health = self._tap.health()
        health = health if tokens else torch.zeros_like(health)
        self._health = health if self._health is None else self._health + health
        if not self._router_on:
            self._tap.forget()

    def _add_up(self, *terms: Tensor) -> None:
        values = torch.stack([term.detach().float() for term in terms])
        self._sums = values if self._sums is None else self._sums + values

    def _close_step(self, update: Update) -> None:
        """One reduction over ranks for all sums of the step; fills `step_stats` and TRL's own log."""
        assert self._sums is not None
        sums = self.accelerator.reduce(self._sums, reduction="sum").tolist()
        kl, entropy, clipped, mismatch, tokens, balance, z = sums
        self._sums = None
        per_token = {"kl": kl, "entropy": entropy, "clip_fraction": clipped}
        if any("sampling_log_probs" in row for row in update.rows):
            per_token["engine_mismatch"] = mismatch
        self.step_stats = update.stats | {name: value / max(tokens, 1.0) for name, value in per_token.items()}
        if self._health is not None:
            health = self.accelerator.reduce(self._health, reduction="sum")
            self.step_stats |= health_numbers(health, update.step_size, self._tap.top_k)
            self._health = None
        if self._router_on:
            self.step_stats |= {"router_balance": balance, "router_z": z}
        log = self._metrics["train"]
        for name, value in self.step_stats.items():
            if isinstance(value, int | float) and name != "reward":
                log[name if name in per_token else f"c3po/{name}"].append(float(value))


def _position_of(trained: list[bool], tokens: int) -> int:
    """Length of the shortest prefix with that many trained tokens."""
    seen = 0
    for position, keep in enumerate(trained):
        seen += keep
        if seen == tokens:
            return position + 1
    return len(trained)
