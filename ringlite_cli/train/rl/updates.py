"""From a rollout to the packed rows of its optimizer steps: pick, cut, share among ranks, balance, pack."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.budget import Pick, informative_groups, pick_updates, seeded_order
from ringlite_cli.c3po.loss import step_divisor, token_weights
from ringlite_cli.c3po.packing import PackedSample, balance_rows, halves, pack_row, repacked
from ringlite_cli.errors import WorkFailed
from ringlite_cli.runs.row_types import MetricsRow, PackedRow
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.exchange import Exchange
from ringlite_cli.train.rl.responses import prefix
from ringlite_cli.train.rl.rollout import RolloutBatch


@dataclass(slots=True)
class Update:
    """One optimizer step of this rank: its packed rows, and the step's real forwarded tokens over all ranks.

    squares: sum of the samples' `seen_squares`, over all ranks. divisor: of the loss, over all ranks (Phi, for C3PO).
    domains: the rollout's, in the order of the numbers in rows.
    """

    rows: list[PackedRow]
    row_sizes: list[int]
    step_size: int
    stats: MetricsRow
    squares: int = 0
    divisor: float = 1.0
    domains: list[str] = field(default_factory=list)

    def passes(self, row: int, *, halved: bool) -> list[tuple[PackedRow, int]]:
        """Return the passes that a row is trained in, each with its tokens (0: a filler). halved: two, if it can be."""
        parts = halves(self.rows[row]) if halved else [self.rows[row]]
        if len(parts) == 1:
            return [(self.rows[row], self.row_sizes[row])]
        return [(part, part["input_ids"].numel()) for part in parts]

    def spread(self, rows: int, accelerator: Accelerator) -> None:
        """Spread the samples over `rows` rows, where a checkpoint holds another number. Every rank has to call it."""
        if len(self.rows) == rows:
            return
        self.rows, self.row_sizes = repacked(self.rows, self.row_sizes, rows)
        largest = int(accelerator.gather(torch.tensor([max(self.row_sizes)], device=accelerator.device)).max())
        fill = self.step_size / max(rows * accelerator.num_processes * largest, 1)
        self.stats |= {"row_fill": fill, "row_tokens_max": largest}


class Planner:
    """Plans the updates of a rollout. Selections are the same on all ranks; updates hold this rank's rows."""

    def __init__(
        self,
        args: C3POConfig,
        accelerator: Accelerator,
        num_generations: int,
        *,
        skip_truncated: bool,
        squares: Callable[[int], float] = lambda tokens: tokens**2,
    ) -> None:
        """squares: see `seen_squares`."""
        self._args, self._accelerator, self._num_generations = args, accelerator, num_generations
        self._skip_truncated, self._squares = skip_truncated, squares

    def pools(self, rollout: RolloutBatch) -> list[list[int]]:
        """Return the responses that may be trained: of all ranks together, or of each, by the budget's scope."""
        informative = informative_groups(rollout.rewards, self._num_generations)
        allowed = [
            index
            for index, reward in enumerate(rollout.rewards)
            if reward is not None
            and (informative[index // self._num_generations] or not self._args.drop_uninformative)
            and (rollout.ended[index] or not self._skip_truncated)
        ]
        if self._args.token_budget_scope == "global":
            return [allowed]
        return [[i for i in allowed if rollout.places[i][0] == r] for r in range(self._accelerator.num_processes)]

    def missing(self, rollout: RolloutBatch, budget: int) -> int:
        """Return the tokens by which the rollout falls short of its budgets: of the rank that lacks most, or of all."""
        wanted = budget * self._args.updates_per_rollout
        return max(max(0, wanted - sum(rollout.lengths[i] for i in pool)) for pool in self.pools(rollout))

    def select(self, rollout: RolloutBatch, budget: int, step: int) -> list[list[Pick]]:
        """Return the picks of each update, in the seeded order of optimizer step `step` (from 0).

        Responses without a verdict have no advantage and are not picked. Raises WorkFailed where none has a verdict.
        """
        if all(reward is None for reward in rollout.rewards):
            said = next((f": {detail}" for detail in rollout.details if detail), "")
            raise WorkFailed(
                f"no response of step {step + 1} got a verdict{said}",
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

    def update(
        self, held: Sequence[Sequence[PackedSample]], rollout: RolloutBatch, picks: Sequence[Pick], budget: int
    ) -> Update:
        """Pack a selection into rows. held: this rank's responses, batch by batch. budget: Phi over all ranks."""
        update = self._pack(self._local_samples(held, rollout, picks))
        update.domains = sorted(set(rollout.domains))
        update.divisor = step_divisor(
            self._args.algorithm,
            budget=budget,
            tokens=sum(pick.tokens for pick in picks),
            responses=len(picks),
            max_completion_length=int(self._args.max_completion_length or 0),
        )
        return update

    def _local_samples(
        self, held: Sequence[Sequence[PackedSample]], rollout: RolloutBatch, picks: Sequence[Pick]
    ) -> list[PackedSample]:
        """Return the picked prefixes of this rank's own responses."""
        samples, domains = [], sorted(set(rollout.domains))
        numbers = {domain: number for number, domain in enumerate(domains)}
        for pick in sorted(picks):
            rank, batch, i = rollout.places[pick.index]
            if rank == self._accelerator.process_index:
                weight = token_weights(self._args.algorithm, [pick.tokens])[0]
                samples.append(prefix(held[batch][i], pick, weight, numbers[rollout.domains[pick.index]]))
        return samples

    def _pack(self, samples: list[PackedSample]) -> Update:
        """Balance samples over rows: those of all ranks if the budget is of the whole step, else this rank's."""
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        shared = self._args.token_budget_scope == "global" and world > 1
        rows = self._args.gradient_accumulation_steps * (world if shared else 1)
        exchange = Exchange(self._accelerator, samples) if shared else None
        sizes = exchange.sizes if exchange else [sample.size for sample in samples]
        members = balance_rows(sizes, rows)
        mine = members[rank::world] if shared else members
        at_hand = exchange.swap([members[r::world] for r in range(world)]) if exchange else dict(enumerate(samples))
        row_sizes = [sum(sizes[i] for i in row) for row in mine]
        squares = round(sum(self._squares(sizes[i]) for row in mine for i in row))
        local = torch.tensor([sum(row_sizes), squares, max(row_sizes)], device=self._accelerator.device)
        of_ranks = self._accelerator.gather(local).view(-1, 3)
        (step_size, squares), largest = of_ranks[:, :2].sum(0).tolist(), int(of_ranks[:, 2].max())
        all_rows = self._args.gradient_accumulation_steps * world
        return Update(
            rows=[pack_row([at_hand[i] for i in row], self._accelerator.device) for row in mine],
            row_sizes=row_sizes,
            step_size=step_size,
            squares=squares,
            stats={"row_fill": step_size / max(all_rows * largest, 1), "row_tokens_max": largest},
        )
