"""The numbers of an optimizer step, summed over its rows and reduced over ranks once."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ringlite_cli.c3po.loss import LossSums
from ringlite_cli.c3po.router import RouterTap, health_numbers
from ringlite_cli.runs.catalogue import mean_over_tokens
from ringlite_cli.train.rl.updates import Update

Row = dict[str, Any]
PER_TOKEN = mean_over_tokens()
"""Means over the trained tokens of a step; engine_mismatch only where the engine gave log-probabilities."""
_SUM_OF = {"clip_fraction": "clipped", "engine_mismatch": "mismatch"}
"""The sum that a mean over tokens is made of, where its name is another."""


class StepNumbers:
    """Adds up passes; `close` gives a step's numbers and starts the next one's."""

    def __init__(self, accelerator: Accelerator, tap: RouterTap, own: tuple[str, ...] = ()) -> None:
        """own: keys of the algorithm's own metrics, means over the trained tokens too."""
        self._accelerator, self._tap, self._own = accelerator, tap, own
        self._sums: Tensor | None = None
        self._health: Tensor | None = None

    def add(self, sums: LossSums, balance: Tensor, z: Tensor) -> None:
        """A row's sums over tokens; its router losses, weighted by its share of the step's tokens."""
        means = [getattr(sums, _SUM_OF.get(name, name)) for name in PER_TOKEN]
        means += [sums.numbers.get(name, torch.zeros_like(sums.tokens)) for name in self._own]
        terms = (*means, sums.tokens, balance, z)
        values = torch.stack([term.detach().float() for term in terms])
        self._sums = values if self._sums is None else self._sums + values

    def add_health(self, tokens: int) -> None:
        """The router's health in the last pass. A filler row (0 tokens) is no load."""
        health = self._tap.health()
        health = health if tokens else torch.zeros_like(health)
        self._health = health if self._health is None else self._health + health

    def close(self, update: Update, *, router_losses: bool) -> Row:
        """The update's own numbers with those of its passes over all ranks."""
        assert self._sums is not None
        sampled = self._sums.new_tensor([any("sampling_log_probs" in row for row in update.rows)])  # on this rank
        sums = self._accelerator.reduce(torch.cat([self._sums, sampled]), reduction="sum")
        *totals, tokens, balance, z, engine_told = sums.tolist()
        self._sums = None
        per_token = {
            name: total / max(tokens, 1.0) for name, total in zip((*PER_TOKEN, *self._own), totals, strict=True)
        }
        if not engine_told:  # all ranks agree: the guard decides by these numbers on each
            del per_token["engine_mismatch"]
        numbers = update.stats | per_token
        if self._health is not None:
            health = self._accelerator.reduce(self._health, reduction="sum")
            numbers |= health_numbers(health, update.step_size, self._tap.top_k)
            self._health = None
        if router_losses:
            numbers |= {"router_balance": balance, "router_z": z}
        return numbers
