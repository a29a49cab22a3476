"""The numbers of an optimizer step, summed over its rows and reduced over ranks once."""

import torch
from accelerate import Accelerator
from torch import Tensor

from ringlite_cli.c3po.loss import LossSums
from ringlite_cli.c3po.mismatch import Remedy
from ringlite_cli.c3po.router import RouterTap, health_numbers
from ringlite_cli.runs.catalogue import mean_over_tokens
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.train.rl.drift import Drift
from ringlite_cli.train.rl.updates import Update

PER_TOKEN = mean_over_tokens()
"""Means over the trained tokens of a step; some only where the engine gave log-probabilities."""
_OF_ENGINE = ("engine_mismatch", "mismatch_masked")
"""Those that there are only where an engine gave log-probabilities."""
_SUM_OF = {"clip_fraction": "clipped", "engine_mismatch": "mismatch", "mismatch_masked": "masked"}
"""The sum that a mean over tokens is made of, where its name is another."""


class StepNumbers:
    """Adds up passes; `close` gives a step's numbers and starts the next one's."""

    def __init__(self, accelerator: Accelerator, tap: RouterTap, remedy: Remedy, own: tuple[str, ...] = ()) -> None:
        """own: keys of the algorithm's own metrics, means over the trained tokens too."""
        self._accelerator, self._tap, self._own = accelerator, tap, own
        self._drift = Drift(accelerator, remedy)
        self._sums: Tensor | None = None
        self._health: Tensor | None = None
        self.load: Tensor | None = None

    def add(self, sums: LossSums, balance: Tensor, z: Tensor) -> None:
        """Add a row's sums over tokens, and its router losses, weighted by its share of the step's tokens."""
        means = [getattr(sums, _SUM_OF.get(name, name)) for name in PER_TOKEN]
        means += [sums.numbers.get(name, torch.zeros_like(sums.tokens)) for name in self._own]
        terms = (*means, sums.weight, sums.weight_squared, sums.tokens, balance, z)
        values = torch.stack([term.detach().float() for term in terms])
        self._sums = values if self._sums is None else self._sums + values

    def add_drift(self, sums: LossSums, row: MetricsRow, update: Update) -> None:
        """Count a row's tokens by how far engine and trainer are apart."""
        self._drift.add(sums, row, len(update.domains))

    def add_health(self, tokens: int) -> None:
        """Add the router's health in the last pass. A filler row (0 tokens) is no load."""
        health = self._tap.health()
        health = health if tokens else torch.zeros_like(health)
        self._health = health if self._health is None else self._health + health

    def forget(self) -> None:
        """Drop what was added of a step that is done again."""
        self._sums = self._health = None
        self._tap.forget()
        self._drift.forget()

    def close(self, update: Update, *, router_losses: bool, halved: bool = False) -> MetricsRow:
        """Return the update's own numbers with those of its passes over all ranks. halved: this rank's rows."""
        assert self._sums is not None
        sampled = any("sampling_log_probs" in row for row in update.rows)  # on this rank
        sums = torch.cat([self._sums, self._sums.new_tensor([sampled, halved])])
        sums = self._accelerator.reduce(sums, reduction="sum")
        *totals, weight, weight_squared, tokens, balance, z, engine_told, ranks_halved = sums.tolist()
        self._sums = None
        per_token = {
            name: total / max(tokens, 1.0) for name, total in zip((*PER_TOKEN, *self._own), totals, strict=True)
        }
        drift = self._drift.close(update.domains) if engine_told else {}
        if engine_told:  # all ranks agree: the guard decides by these numbers on each
            drift["tokens_effective"] = weight**2 / max(weight_squared, 1e-12)
        else:
            per_token = {name: value for name, value in per_token.items() if name not in _OF_ENGINE}
        numbers = update.stats | per_token | drift
        if ranks_halved:
            numbers["ranks_halved"] = int(ranks_halved)
        if self._health is not None:
            health = self._accelerator.reduce(self._health, reduction="sum")
            self.load = health[:, :-2]  # (layers, Ne) tokens of the step that each expert got
            numbers |= health_numbers(health, update.step_size, self._tap.top_k)
            self._health = None
        if router_losses:
            numbers |= {"router_balance": balance, "router_z": z}
        return numbers
