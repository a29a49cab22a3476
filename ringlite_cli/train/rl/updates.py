"""From a rollout to the packed rows of its optimizer steps: pick, cut, share among ranks, balance, pack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.budget import Pick, informative_groups, pick_updates, seeded_order
from ringlite_cli.c3po.loss import step_divisor, token_weights
from ringlite_cli.c3po.packing import Sample, balance_rows, pack_row
from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.rollout import Rollout

Row = dict[str, Any]
Batch = Mapping[str, Tensor]


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


class Planner:
    """Plans the updates of a rollout. Selections are the same on all ranks; updates hold this rank's rows."""

    def __init__(self, args: C3POConfig, accelerator: Accelerator, group: int, *, skip_truncated: bool) -> None:
        self._args, self._accelerator, self._group = args, accelerator, group
        self._skip_truncated = skip_truncated

    def pools(self, rollout: Rollout) -> list[list[int]]:
        """The responses that may be trained: of all ranks together, or of each, by the budget's scope."""
        informative = informative_groups(rollout.rewards, self._group)
        allowed = [
            index
            for index, reward in enumerate(rollout.rewards)
            if reward is not None
            and (informative[index // self._group] or not self._args.drop_uninformative)
            and (rollout.ended[index] or not self._skip_truncated)
        ]
        if self._args.token_budget_scope == "global":
            return [allowed]
        return [[i for i in allowed if rollout.places[i][0] == r] for r in range(self._accelerator.num_processes)]

    def missing(self, rollout: Rollout, budget: int) -> int:
        """Tokens by which the rollout falls short of its updates' budgets: of the rank that lacks most, or of all."""
        wanted = budget * self._args.updates_per_rollout
        return max(max(0, wanted - sum(rollout.lengths[i] for i in pool)) for pool in self.pools(rollout))

    def select(self, rollout: Rollout, budget: int, step: int) -> list[list[Pick]]:
        """The picks of each update, in the seeded order of optimizer step `step` (from 0).

        Responses without a verdict have no advantage and are not picked. Raises WorkFailed where none has a verdict.
        """
        if all(reward is None for reward in rollout.rewards):
            raise WorkFailed(
                f"no response of step {step + 1} got a verdict",
                hint="the verdicts in rollouts.jsonl and `ringlite doctor` tell what is wrong with the verifier",
            )
        updates = self._args.updates_per_rollout
        selections: list[list[Pick]] = [[] for _ in range(updates)]
        for pool in self.pools(rollout):
            order = seeded_order(pool, self._args.seed, step)
            if algorithm_of(self._args.algorithm).has_budget:
                by_update = pick_updates(rollout.lengths, budget, order, updates, self._args.cut)
            else:
                whole = [Pick(i, rollout.lengths[i]) for i in order if rollout.lengths[i]]
                by_update = [whole[number::updates] for number in range(updates)]
            for selection, picks in zip(selections, by_update, strict=True):
                selection += picks
        return selections

    def update(self, batches: Sequence[Batch], rollout: Rollout, picks: Sequence[Pick], budget: int) -> Update:
        """One selection as this rank's rows. batches: TRL's, of this rank, on the host. budget: Phi over all ranks."""
        update = self._pack(self._share(self._local_samples(batches, rollout, picks)))
        update.divisor = step_divisor(
            self._args.algorithm,
            budget=budget,
            tokens=sum(pick.tokens for pick in picks),
            responses=len(picks),
            longest=int(self._args.max_completion_length or 0),
        )
        return update

    def _local_samples(self, batches: Sequence[Batch], rollout: Rollout, picks: Sequence[Pick]) -> list[Sample]:
        """The picked prefixes of this rank's own responses."""
        samples = []
        for pick in sorted(picks):
            rank, batch_index, i = rollout.places[pick.index]
            if rank == self._accelerator.process_index:
                weight = token_weights(self._args.algorithm, [pick.tokens])[0]
                samples.append(_sample(batches[batch_index], i, pick, weight))
        return samples

    def _share(self, samples: list[Sample]) -> list[Sample]:
        """All ranks' samples where the budget is of the whole step; a rank keeps its own where it is its own."""
        if self._args.token_budget_scope == "rank" or self._accelerator.num_processes == 1:
            return samples
        return sorted(gather_object(samples), key=lambda sample: sample.index)

    def _pack(self, samples: list[Sample]) -> Update:
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        shared = self._args.token_budget_scope == "global"
        rows = self._args.gradient_accumulation_steps * (world if shared else 1)
        members = balance_rows([sample.size for sample in samples], rows)
        mine = members[rank::world] if shared else members
        sizes = [sum(samples[i].size for i in row) for row in mine]
        local = torch.tensor([sum(sizes), max(sizes)], device=self._accelerator.device)
        both = self._accelerator.gather(local).view(-1, 2)
        step_size, largest = int(both[:, 0].sum()), int(both[:, 1].max())
        all_rows = self._args.gradient_accumulation_steps * world
        return Update(
            rows=[pack_row([samples[i] for i in row], self._accelerator.device) for row in mine],
            row_sizes=sizes,
            step_size=step_size,
            stats={"row_fill": step_size / max(all_rows * largest, 1), "row_tokens_max": largest},
        )


def _sample(batch: Batch, i: int, pick: Pick, weight: float) -> Sample:
    """The picked prefix of row i of one of TRL's padded batches."""
    response = batch["completion_ids"][i, : batch["completion_mask"][i].sum()].tolist()
    trained = batch["tool_mask"][i, : len(response)].bool().tolist() if "tool_mask" in batch else None
    end = pick.tokens if trained is None else _position_of(trained, pick.tokens)
    sampled = batch.get("sampling_per_token_logps")
    return Sample(
        index=pick.index,
        prompt=batch["prompt_ids"][i][batch["prompt_mask"][i].bool()].tolist(),
        response=response[:end],
        advantage=batch["advantages"][i].item(),
        trained=None if trained is None else trained[:end],
        sampled=None if sampled is None else sampled[i, :end].tolist(),
        weight=weight,
    )


def _position_of(trained: list[bool], tokens: int) -> int:
    """Length of the shortest prefix with that many trained tokens."""
    seen = 0
    for position, keep in enumerate(trained):
        seen += keep
        if seen == tokens:
            return position + 1
    return len(trained)
