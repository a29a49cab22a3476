"""A gradient that is no number makes no optimizer step and no checkpoint."""

from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainingArguments

from ringlite_cli.errors import Diverged
from ringlite_cli.train.finite import FiniteGradients


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.slope * x).mean()}


class Guarded(FiniteGradients, Trainer):
    pass


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_finite_loss_with_a_gradient_that_is_not_stops_before_the_step(
    tmp_path: Path, max_grad_norm: float, value: float
) -> None:
    model, passes = Line(), []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        passes.append(gradient)
        return torch.full_like(gradient, value) if len(passes) == 3 else gradient

    model.slope.register_hook(spoil)
    kept = {"max_steps": 5, "save_steps": 1, "max_grad_norm": max_grad_norm}
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], per_device_train_batch_size=1, **kept)
    trainer = Guarded(model=model, args=args, train_dataset=[{"x": torch.tensor(1.0)}] * 8)
    with pytest.raises(Diverged, match=r"the gradient's norm is (nan|inf) at step 3"):
        trainer.train()
    assert torch.isfinite(model.slope).all()
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}
