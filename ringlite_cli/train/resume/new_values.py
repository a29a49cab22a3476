"""Makes changed values hold after a resume: a checkpoint brings back the old ones of optimizer, schedule and loop."""

import logging
import math
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

log = logging.getLogger(__name__)


class NewValues(TrainerCallback):
    """Set what the optimizer, the schedule and the loop have of the run's own arguments, when training goes on.

    A resumed optimizer has the learning rate, betas and weight decay of the checkpoint, a resumed schedule its base
    rates, and the loop its old save_steps. With unchanged arguments nothing changes, to the bit. scale: what the guard
    multiplies the learning rate by. Added after the guard.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **loop: Any
    ) -> None:
        if not state.global_step:
            return
        state.compute_steps(args, state.max_steps)
        rate = args.learning_rate * self._scale
        optimizer, schedule = _plain(loop["optimizer"], "optimizer"), _plain(loop["lr_scheduler"], "scheduler")
        before = optimizer.param_groups[0]["lr"]
        if isinstance(schedule, torch.optim.lr_scheduler.LambdaLR):
            _set_schedule(optimizer, schedule, rate)
        else:
            _scale(optimizer, rate)
        for number, group in enumerate(optimizer.param_groups):
            if _decays(optimizer, number):
                _set(group, "weight_decay", args.weight_decay)
            _set(group, "initial_lr", rate)
            _set(group, "betas", (args.adam_beta1, args.adam_beta2))
            _set(group, "eps", args.adam_epsilon)
        now = optimizer.param_groups[0]["lr"]
        if state.is_world_process_zero and not math.isclose(before, now, rel_tol=1e-6):
            step = state.global_step + 1
            log.warning("the learning rate of step %d is %.4g; it would have been %.4g", step, now, before)


def _plain(wrapped: Any, name: str) -> Any:
    """Return what accelerate wraps."""
    return getattr(wrapped, name, wrapped)


def _set(group: dict[str, Any], name: str, value: Any) -> None:
    if name in group:
        group[name] = value


def _decays(optimizer: Any, number: int) -> bool:
    """Whether a group has weight decay: the first of the two that transformers makes, or one that had some."""
    groups = optimizer.param_groups
    return bool(groups[number].get("weight_decay")) or (len(groups) == 2 and number == 0)


def _set_schedule(optimizer: Any, schedule: Any, rate: float) -> None:
    """Give a schedule its base rate; the rate of the next step follows from it and from where the schedule is."""
    schedule.base_lrs = [rate] * len(optimizer.param_groups)
    for group, multiplier in zip(optimizer.param_groups, schedule.lr_lambdas, strict=True):
        group["lr"] = rate * multiplier(schedule.last_epoch)
    schedule._last_lr = [group["lr"] for group in optimizer.param_groups]


def _scale(optimizer: Any, rate: float) -> None:
    """Scale the rates of a schedule that has no multiplier of its own for each step, such as one by plateaus."""
    for group in optimizer.param_groups:
        if group.get("initial_lr") not in (None, 0, rate):
            group["lr"] *= rate / group["initial_lr"]
