"""From a pool of responses in flight to the batches of a step: mode carry, and rollouts that are drawn a step ahead.

In mode carry a step takes complete groups in the order of their launch until they hold its budget; it never waits for
a group. Those that are unfinished are carried: the next rollout goes on with them, by newer weights. A rollout writes
about as many tokens as a step takes, and more only where too few groups are complete; further complete groups wait for
the next step.

Each rank has a pool of its own and writes its part of the budget. All take equally many groups: a rank that has fewer
complete ones writes on (`agreed.py`).

With `ahead: 1` the next rollout is written in a thread while the step trains, by the weights that the step began with.
In mode wait it draws the step's prompts to their ends.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import ceil
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import response_texts
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.rollouts import SHARED_OUT
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.train.engine.stream import Stream
from ringlite_cli.train.rl.carry.agreed import Ranks
from ringlite_cli.train.rl.carry.phase import Limits, Phase
from ringlite_cli.train.rl.carry.pool import Counted, Group, Pool, ages, lengths_by_retention, mean_length_by_retention
from ringlite_cli.train.rl.carry.writer import Writer
from ringlite_cli.train.rl.prompts import drawn
from ringlite_cli.train.rl.reward import VerifiedReward
from ringlite_cli.train.rl.rollout import RolloutBatch

Batch = dict[str, Tensor]


class Carried:
    """The pool of a C3POTrainer, and how a step's batches are made of it."""

    def __init__(self, trainer: Any, streams: Callable[[Any], Stream] | None = None) -> None:
        """streams: makes an engine of the trainer for each rollout; by default vLLM, or the trainer's own model."""
        self._trainer = trainer
        self.pool, self.counted, self.stats = Pool(), Counted(), dict[str, Any]()
        self._groups: list[Group] = []
        """Those that the step at hand has taken."""
        self.drawn_ahead = False
        """Whether the step at hand took what was drawn, in part at least, while the step before trained."""
        self.lock = threading.RLock()
        """Held while the pool changes: a checkpoint may be saved while a thread writes."""
        args = trainer.args
        self._ranks = Ranks(trainer.accelerator, shares=args.token_budget_scope == "global")
        if self._ranks.count > 1 and streams is None and not trainer.use_vllm and trainer.is_fsdp_enabled:
            raise UserError(SHARED_OUT[0], where="rollouts.mode", hint=SHARED_OUT[1])
        self._carries, self._ahead = bool(args.carries), bool(args.rollouts.ahead)
        self._limits = Limits(
            in_flight=args.settings.responses(trainer.num_generations, self._ranks.count)
            if self._carries
            else args.settings.in_flight(trainer.num_generations),
            longest=int(args.max_completion_length),
            seed=args.seed,
            needs_log_probs=args.settings.mismatch_rule != "none",
        )
        self._max_retention = args.settings.max_retention(
            trainer.num_generations, self._limits.longest, self._ranks.count
        )
        self._quota: int | None = None  # groups that the phase may launch; None: as many as it takes
        # A thread has a tokenizer of its own: one that two threads use at once may refuse
        self._tokenizer = deepcopy(trainer.processing_class) if self._ahead else trainer.processing_class
        self.writer = Writer(trainer, streams, self._phase)
        self._reward = next((f for f in trainer.reward_funcs if isinstance(f, VerifiedReward)), None)
        if self._reward is not None:
            self._reward.keeps_early = True

    def collect(self) -> tuple[list[Batch], RolloutBatch]:
        """Roll out until the step's budgets are filled; return TRL's batches of the groups taken, and their record."""
        trainer, self._groups = self._trainer, []
        written = self.writer.join()
        self.drawn_ahead = self.pool.begun is not None
        self.counted, self.pool.begun = self.pool.begun or self._begin(), None
        self.counted.generated = self.pool.tokens - self.counted.carried_in + self.counted.dropped_tokens
        if written is None:
            self._quota = self._further_groups()
            self.writer.sync()
        batches, rollout = self._round(None, written)
        trainer._move_budget(rollout)
        for _ in range(self._further_rounds()):
            if not self._wanting(rollout):
                break
            further, more = self._round(rollout)
            batches += further
            rollout.extend(more)
        self.pool.grow_older()
        self.stats = self._counts_of_phase()
        if self._ahead and trainer.state.global_step + trainer.args.updates_per_rollout < trainer.state.max_steps:
            self.pool.begun, self._quota = self._begin(), self._further_groups()
            self.writer.sync()
            self.writer.start(*self._aim(self._budget(), self._steady()))
        self.pool.version += 1
        return batches, rollout

    def _begin(self) -> Counted:
        """Prepare the pool for a phase, and count it: groups that are too old go, and their prompts are asked again."""
        carried = self.pool.tokens
        dropped = self.pool.drop_old(self._max_retention)
        tokens = sum(group.tokens for group in dropped)
        return Counted(carried_in=carried, dropped_groups=len(dropped), dropped_tokens=tokens)

    def _further_groups(self) -> int | None:
        """Return how many groups a phase may launch; None for as many as it takes."""
        return None if self._carries else max(0, self._prompts() - len(self.pool.groups))

    def _counts_of_phase(self) -> MetricsRow:
        """Return the phase's columns of a metrics row."""
        counted, pool = self.counted, self.pool
        of_rank = {
            "tokens_generated": counted.generated,
            "tokens_carried_in": counted.carried_in,
            "tokens_carried_out": pool.tokens,
            "groups_in_flight": sum(not group.complete for group in pool.groups),
            "groups_by_retention": pool.by_retention(),
            "groups_dropped_old": counted.dropped_groups,
            "tokens_dropped_old": counted.dropped_tokens,
        }
        lengths = self._ranks.listed(lengths_by_retention(self._groups))
        return self._ranks.summed(of_rank) | {"response_tokens_by_retention": dict(mean_length_by_retention(lengths))}

    # What a step takes

    def _prompts(self) -> int:
        return int(self._trainer.args.prompts_per_step * self._trainer.args.updates_per_rollout)

    def _budget(self) -> int:
        return int(self._trainer.budget.tokens * self._trainer.args.updates_per_rollout)

    def _further_rounds(self) -> int:
        """Return how many rounds may follow: where tokens must be trainable to count, or where the budget has grown."""
        args = self._trainer.args
        if args.undershoot == "refill" or (self._carries and args.drop_uninformative):
            return int(args.refill_rounds)
        return int(self._carries)

    def _wanting(self, rollout: RolloutBatch) -> int:
        """Return the tokens that the step's budgets still lack; trainable ones alone where the recipe says so."""
        trainer = self._trainer
        args = trainer.args
        if not trainer.algorithm.has_budget:
            return 0
        if not self._carries or args.undershoot == "refill" or args.drop_uninformative:
            return int(trainer._planner.missing(rollout, trainer.budget.tokens))
        return self._ranks.lacking(self._budget(), sum(map(self._counts, self._groups)))

    def _counts(self, group: Group) -> int:
        """Return a group's tokens that may be trained, as far as is known before its verdicts."""
        ends = self._trainer.ends
        skips = self._trainer.skip_truncated
        return sum(len(r.tokens) for r in group.responses if not skips or r.tokens[-1] in ends)

    def _aim(self, wanted: int, least: int = 0) -> tuple[int, Callable[[], bool]]:
        """Return the least tokens of a phase, and whether its groups hold this rank's part of so many tokens."""
        part = self._ranks.part(wanted)
        return least, lambda: self._first(part) is not None

    def _first(self, wanted: int) -> list[Group] | None:
        """Return the first complete groups that hold so many tokens; None if there are not enough.

        Where truncated responses do not count, all tokens do once they are 1 + refill_rounds times as many. An
        algorithm without a budget takes this rank's part of the groups of prompts_per_step and updates_per_rollout. In
        mode wait all groups of the phase are taken together.
        """
        complete, found, tokens, ended = self.pool.complete(), list[Group](), 0, 0
        if not self._carries:
            return complete if len(complete) == len(self.pool.groups) and not self._quota else None
        for group in complete:
            found.append(group)
            tokens, ended = tokens + self._counts(group), ended + group.tokens
            if not self._trainer.algorithm.has_budget:
                if len(found) == ceil(self._prompts() / self._ranks.count):
                    return found
            elif tokens >= wanted or ended >= self._most(wanted):
                return found
        return None

    def _most(self, wanted: int) -> int:
        """Return the tokens, trainable or not, from which on a step has enough."""
        return wanted * (1 + int(self._trainer.args.refill_rounds))

    def _taken(self, wanted: int) -> list[Group]:
        """Return the groups that this rank takes for so many tokens: as many as every other rank takes.

        Where a rank has fewer complete groups, all write on until it has them.
        """
        first = self._first(self._ranks.part(wanted))
        assert first is not None
        if not self._trainer.algorithm.has_budget:
            return first
        sizes = [(self._counts(group), group.tokens) for group in self.pool.complete()]
        number, there = self._ranks.groups(len(first), sizes, wanted, self._most(wanted))
        if not there:
            self.counted.generated += self.writer.write(0, lambda: len(self.pool.complete()) >= number)
        return self.pool.complete()[:number]

    def _steady(self) -> int:
        """Return the least tokens that a rollout writes, so that each takes as long as the others.

        As many as steps have taken on average, less an eighth of what complete groups still hold, which would else grow
        without bound.
        """
        pool = self.pool
        if not self._carries or not self._trainer.algorithm.has_budget:
            return 0
        mean = pool.taken / pool.version if pool.version else self._ranks.part(self._budget())
        return int(mean - sum(group.tokens for group in pool.complete()) / 8)

    def _round(self, before: RolloutBatch | None, written: int | None = None) -> tuple[list[Batch], RolloutBatch]:
        """Write until complete groups hold what is wanting, and score those.

        before: what the step has already. written: tokens of a phase that was begun ahead, which may have been enough.
        """
        trainer = self._trainer
        wanted = self._budget() if before is None else self._wanting(before)
        if before is not None and not self._carries:
            self._quota = trainer._prompts_for(wanted, before)
        tokens, enough = self._aim(wanted, self._steady() if before is None else 0)
        self.counted.generated += self.writer.write(tokens if written is None else 0, enough)
        taken = self._taken(wanted)
        self.pool.remove(taken)
        self.pool.taken += sum(group.tokens for group in taken)
        self._groups += taken
        asked = [group.row for group in taken for _ in group.responses]
        with self._as_drawn(taken):
            batch, recorded = trainer._roll_out(asked)
        batch["token_ages"] = self._ages(taken, batch["completion_ids"])
        rollout: RolloutBatch = trainer._gather_rollout(asked, batch, recorded)
        rollout.retention = self._ranks.listed(group.retention for group in taken for _ in group.responses)
        return [batch], rollout

    # What a phase is made of

    def _phase(self) -> Phase:
        return Phase(self.pool, self._limits, self._launch, self._on_response, self.lock)

    def _launch(self) -> Group | None:
        """Put the next prompt's group into the pool; None where the phase has launched all that it may."""
        trainer, pool, ranks = self._trainer, self.pool, self._ranks
        if self._quota is not None:
            if not self._quota:
                return None
            self._quota -= 1
        if not pool.waiting:
            rows = drawn(trainer.prompts, max(self._prompts(), ranks.count))
            trainer.order_prompts(rows)
            pool.waiting = rows[ranks.number :: ranks.count]
        row = pool.waiting.pop(0)
        ids = self._ids(row["prompt"])
        return pool.launch(row, ids, trainer.num_generations, rank=ranks.number, ranks=ranks.count)

    def _ids(self, prompt: Any) -> list[int]:
        if not isinstance(prompt, str):
            return prompt_ids(self._tokenizer, prompt)
        (ids,), *_ = self._trainer._tokenize_prompts([prompt])
        return list(ids)

    def _on_response(self, group: Group, place: int) -> None:
        if self._reward is not None:
            (text,) = response_texts(self._tokenizer, [group.responses[place].tokens])
            self._reward.ahead(str(group.row.get("problem_id", "")), text)

    # What TRL is given

    @contextmanager
    def _as_drawn(self, groups: list[Group]) -> Iterator[None]:
        """Have TRL's generation return the responses of these groups in this block."""
        responses = [response for group in groups for response in group.responses]
        known = any(p == p for response in responses for p in response.log_probs)
        log_probs = [response.log_probs for response in responses] if known else None
        self._trainer.drawn = [response.tokens for response in responses], log_probs
        try:
            yield
        finally:
            self._trainer.drawn = None

    def _ages(self, groups: list[Group], completions: Tensor) -> Tensor:
        """Return the rollouts since each token was written, (responses, tokens) int64, 0 at padding."""
        found = torch.zeros(completions.shape, dtype=torch.long)
        responses = (response for group in groups for response in group.responses)
        for row, response in zip(found, responses, strict=True):
            row[: len(response.tokens)] = torch.tensor(ages(response, self.pool.version))
        return found
