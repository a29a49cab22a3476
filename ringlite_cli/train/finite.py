"""No optimizer step by a gradient that is no number."""

import math
from typing import Any

from ringlite_cli.errors import Diverged


class FiniteGradients:
    """Mixed into a transformers Trainer: raises Diverged before the optimizer step that would spoil the weights.

    All ranks see the same norm, so all of them raise. Nothing is saved after it: the last checkpoint is sound.
    """

    state: Any
    accelerator: Any

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[misc]
        scaled = self.accelerator.scaler is not None  # float16 looks for its scale by such steps, and leaves them out
        if norm is not None and not scaled and not math.isfinite(norm):
            step = self.state.global_step + 1
            raise Diverged(
                f"the gradient's norm is {float(norm)} at step {step}",
                step,
                hint="the weights are as before it; lower the learning rate, or look at that step's samples",
            )
        return norm
