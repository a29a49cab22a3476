"""How C3PO's trainer makes a rollout: it draws prompts, has responses drawn and scored, and puts all ranks' together.

What is then trained on a rollout is in trainer.py.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl import GRPOTrainer

from ringlite_cli.c3po.budget import informative_groups
from ringlite_cli.c3po.mismatch import Remedy
from ringlite_cli.c3po.mismatches import rule_of
from ringlite_cli.c3po.schedule import Budget
from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import response_texts, special_tags
from ringlite_cli.errors import Diverged, RecipeErrors, UserError
from ringlite_cli.recipe.rollouts import engine_faults, order_faults
from ringlite_cli.runs.row_types import MetricsRow, PromptRow
from ringlite_cli.train.engine.stream import Stream
from ringlite_cli.train.finite import FiniteGradients
from ringlite_cli.train.rl.carry.collector import Carried
from ringlite_cli.train.rl.carry.kept import CarriedPool
from ringlite_cli.train.rl.carry.locked import LockedSource
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.lengths import LengthHistory, penalty
from ringlite_cli.train.rl.own_rollouts import checked_rollouts
from ringlite_cli.train.rl.pending_updates import PendingUpdates
from ringlite_cli.train.rl.prompts import DatasetSource, PromptSource, drawn
from ringlite_cli.train.rl.record import Measures, Recorded, Recorder
from ringlite_cli.train.rl.rollout import RolloutBatch
from ringlite_cli.train.rl.run_state import RunState
from ringlite_cli.train.rl.updates import Planner, Update
from ringlite_cli.train.rl.verify_ahead import verified_ahead
from ringlite_cli.train.speed import seen_squares


class RolloutTrainer(FiniteGradients, GRPOTrainer):
    """TRL's trainer with rollouts of C3PO's kind; C3POTrainer adds the updates."""

    args: C3POConfig
    beta: float
    num_generations: int
    skip_truncated: bool
    _logs: dict[str, Any]

    def _prepare_rollouts(
        self, prompts: PromptSource | None, streams: Callable[[Any], Stream] | None, dataset: Any
    ) -> None:
        """Set up the source of prompts, the budget, the pool of mode carry, and what a checkpoint keeps of them."""
        args = self.args
        faults = engine_faults(
            args.rollouts,
            vars(args),
            own_engine=streams is not None,
            world_size=args.world_size,
        )
        faults += order_faults(args.rollouts, vars(args), own_engine=self.rollout_func is not None)
        if faults:
            raise RecipeErrors(faults)
        pools = args.settings.pools  # whether rollouts are made of a pool
        if pools and prompts is None:
            prompts = DatasetSource(dataset)
        if args.rollouts.ahead and prompts is not None:
            prompts = LockedSource(prompts)
        self.prompts = prompts
        if self.rollout_func is not None:
            self.rollout_func = checked_rollouts(self.rollout_func)
        self.budget = Budget(args.schedule)
        self.remedy = Remedy(rule_of(args.settings.mismatch_rule), args.mismatch)
        self.lengths = LengthHistory() if args.rollouts.order == "longest" else None
        own_draws = pools and self.accelerator.num_processes > 1  # each rank's pool keeps its place in the prompts
        self.add_callback(RunState(self.budget, None if own_draws else prompts, self.remedy, self.lengths))
        self.add_callback(PendingUpdates(self))
        self.drawn: tuple[list[list[int]], list[list[float]] | None] | None = None  # what TRL's generation returns
        self.carried = Carried(self, streams) if pools else None
        if self.carried is not None:
            if self.tools or self.environment_factories is not None:
                raise UserError(
                    "responses with tool calls can't be carried over to the next step",
                    where="rollouts",
                    hint="leave tools out",
                )
            self.add_callback(CarriedPool(self, self.carried))
        self._seconds = {"rollout": 0.0, "reward": 0.0, "reference": 0.0}
        self._measures = Measures()
        self._recorder = Recorder(self.accelerator)
        self._updates: list[Update] = []
        squares = seen_squares(self.model.config.get_text_config())
        self._planner = Planner(
            args, self.accelerator, self.num_generations, skip_truncated=self.skip_truncated, squares=squares
        )

    def _collect(self, generation_batch: list[PromptRow]) -> tuple[list[dict[str, Tensor]], RolloutBatch]:
        """Roll out this step's prompts, and more while the budget is not filled and may be refilled."""
        if self.carried is not None:
            return self.carried.collect()
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

    def _draw(self, prompts: int) -> list[PromptRow]:
        """Draw `prompts` more prompts and return this rank's share, each repeated `num_generations` times."""
        assert self.prompts is not None
        rows = [row for row in drawn(self.prompts, prompts) for _ in range(self.num_generations)]
        size = len(rows) // self.accelerator.num_processes
        first = self.accelerator.process_index * size
        return rows[first : first + size]

    def _prompts_for(self, missing: int, rollout: RolloutBatch) -> int:
        """Return how many prompts should bring `missing` tokens, judged by those asked so far; at most a rollout's."""
        asked = len(rollout.lengths) // self.num_generations
        found = min(sum(rollout.lengths[i] for i in pool) for pool in self._planner.pools(rollout))
        assert self.args.generation_batch_size is not None  # TRL has filled it in
        most = self.args.generation_batch_size // self.num_generations
        wanted = min(most, math.ceil(asked * missing / found)) if found else most
        world = self.accelerator.num_processes
        unit = world // math.gcd(world, self.num_generations)  # groups that all ranks can share
        return min(most, math.ceil(wanted / unit) * unit)

    def _move_budget(self, rollout: RolloutBatch) -> None:
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
            with (
                self._no_old_log_probs(),
                self._longest_first(generation_batch),
                verified_ahead(self, generation_batch),
                self._recorder.texts_on_main(wanted=self.log_completions),
            ):
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

    @contextmanager
    def _longest_first(self, asked: Sequence[MetricsRow]) -> Iterator[None]:
        """Have an engine in this process begin, in this block, with the responses expected to be longest."""
        generation = getattr(self, "vllm_generation", None)
        if self.lengths is None or generation is None:
            yield
            return
        generation.expected = [self.lengths.expected(row) for row in asked]
        try:
            yield
        finally:
            generation.expected = None

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        """Tokenize conversations as in all other stages."""
        if isinstance(prompts[0], str) or self.tools or self.environment_factories is not None or self._is_vlm:
            return super()._tokenize_prompts(prompts)
        known: dict[str, list[int]] = {}  # a prompt is asked several times
        for each in prompts:
            key = str(each)
            if key not in known:
                known[key] = prompt_ids(self.processing_class, each)
        return [known[str(each)] for each in prompts], None, {}

    def _generate(self, prompts: list[Any]) -> Any:
        """Generate as TRL does, but keep a special token that ends a thought, for the reward to see."""
        generated = list(super()._generate(prompts))
        # TRL parses responses where a tokenizer says how; else its texts are these, unless a tag is a special token
        parsed = any(getattr(self._tokenizer, name, None) for name in ("response_template", "response_schema"))
        if not isinstance(prompts[0], str) and not self.tools and (parsed or special_tags(self.processing_class)):
            texts = response_texts(self.processing_class, generated[1])
            generated[3] = [[{"role": "assistant", "content": text}] for text in texts]
        return tuple(generated)

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        """Return what was drawn in mode carry, else what TRL's generation draws."""
        return super()._generate_single_turn(*args, **kwargs) if self.drawn is None else self.drawn

    def order_prompts(self, rows: list[PromptRow]) -> None:
        """Bring prompts into the order in which they are asked."""
        if self.lengths is not None:
            self.lengths.longest_first(rows)

    @property
    def ends(self) -> set[int]:
        """Return the tokens that end a response."""
        return {*self.eos_token_ids, self._tokenizer.pad_token_id}

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        started = time.perf_counter()
        rewards: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seconds["reward"] += time.perf_counter() - started
        self._recorder.scored(prompts, completions, rewards)
        self._measures.add(self.reward_funcs)
        return self._less_penalty(rewards, completion_ids_list)

    def _less_penalty(self, rewards: Tensor, completion_ids_list: list[list[int]]) -> Tensor:
        """Return the rewards that advantages are made of: those of long responses less their penalty."""
        overlong, longest = self.args.overlong, int(self.args.max_completion_length or 0)
        if overlong.rule != "penalty":
            return rewards
        lost = [penalty(len(ids), longest, overlong) for ids in completion_ids_list]
        all_lost = self.accelerator.gather(torch.tensor(lost, device=rewards.device, dtype=rewards.dtype))
        self._measures.penalty(all_lost.mean().item(), len(all_lost))
        less = rewards.clone()
        less[:, 0] += all_lost / self.reward_weights[0].item()
        return less

    def _log_completion_extra(self, column: str, values: list[Any]) -> None:
        self._recorder.column(column, values)
        super()._log_completion_extra(column, values)

    def _gather_rollout(self, asked: list[PromptRow], batch: dict[str, Tensor], recorded: Recorded) -> RolloutBatch:
        sizes = batch["completion_mask"].sum(1)
        trained = (batch["completion_mask"] * batch["tool_mask"]).sum(1) if "tool_mask" in batch else sizes
        last = batch["completion_ids"].gather(1, (sizes - 1).clamp(min=0)[:, None]).squeeze(1)
        ends = torch.tensor(sorted(self.ends), device=last.device)
        local = torch.stack([trained, torch.isin(last, ends).long()], dim=1)
        facts = self.accelerator.gather(local).tolist()
        fields = ("problem_id", "domain", "known_labels")
        names = gather_object([tuple(str(x.get(field, "")) for field in fields) for x in asked])
        count = len(facts)
        size = count // self.accelerator.num_processes
        rollout = RolloutBatch(
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
            details=recorded.details,
            parts=recorded.parts,
            labels=[json.loads(labels or "{}") for *_, labels in names],
            policy_step=recorded.policy_step,
        )
        if self.lengths is not None:
            self.lengths.note(rollout.prompt_ids, rollout.domains, rollout.lengths)
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

    @contextmanager
    def _no_old_log_probs(self) -> Iterator[None]:
        """Keep TRL from computing old log-probs of the whole padded rollout, which serves several updates."""
        rows, self.args.gradient_accumulation_steps = (
            self.args.gradient_accumulation_steps,
            self.args.steps_per_generation,
        )
        try:
            yield
        finally:
            self.args.gradient_accumulation_steps = rows
