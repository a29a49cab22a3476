"""Routers kept balanced without a loss: after each step their biases move towards an even load."""

from typing import Any

from torch import Tensor
from transformers import TrainerCallback

from ringlite_cli.c3po.router import move_bias, selection_biases
from ringlite_cli.errors import UserError
from ringlite_cli.train.rl.step_metrics import StepNumbers


class RouterBias(TrainerCallback):
    """Moves every router's bias for the choice by `rate` after each optimizer step, by the load of that step.

    Raises UserError for a model whose routers have no such bias.
    """

    def __init__(self, model: Any, numbers: StepNumbers, rate: float) -> None:
        self._model, self._numbers, self._rate = model, numbers, rate
        if not self._biases():
            raise UserError(
                "the model's routers have no bias for the choice of experts",
                where="router_bias_rate",
                hint="set it to 0; router_balance_coef balances every mixture",
            )

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        load, biases = self._numbers.load, self._biases()
        if load is not None and len(load) == len(biases):
            for bias, tokens in zip(biases, load, strict=True):
                move_bias(bias, tokens, self._rate)

    def _biases(self) -> list[Tensor]:
        """Return the biases that the model holds now: wrapping it may have replaced the first ones."""
        return [bias for _, bias in selection_biases(self._model)]
