"""Hangs the guard on TRL's loop: sees every step's numbers on every rank, and acts when a rule is broken."""

import logging
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ringlite_cli.errors import Diverged
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.train.guard.alarm import Alarm
from ringlite_cli.train.guard.gap import Paired
from ringlite_cli.train.guard.history import History, Paused, RollBack
from ringlite_cli.train.guard.rules import Watch

log = logging.getLogger(__name__)


class GuardCallback(TrainerCallback, ExportableState):
    """Feeds the watch, logs, pauses or raises RollBack; keeps what it knows in the checkpoint.

    A checkpoint is good once a whole window of steps after it broke no rule that rolls back: only then is it certain
    that what the rule saw had not begun before it. Until then it must not be dropped for its age: `kept` names it.
    """

    def __init__(
        self,
        trainer: Any = None,
        guard: Guard | None = None,
        history: History | None = None,
        paired: Paired | None = None,
        asked: str = "",
    ) -> None:
        """paired: compares held-out scores; None where nothing is held out. asked: a digest of the problems."""
        self._trainer, self._history = trainer, history
        self._watch = Watch(guard or Guard(), paired, asked)
        self._saved: list[int] = []  # checkpoints that a window has not passed since: the oldest of them and the newest
        self.good = 0
        self._paused: Alarm | None = None

    def state(self) -> dict[str, Any]:
        scale = self._history.lr_scale if self._history else 1.0
        kept = {"watch": self._watch.state(), "good": self.good, "saved": self._saved, "lr_scale": scale}
        return {"args": {}, "attributes": kept}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **loop: Any
    ) -> None:
        saved = state.stateful_callbacks.get(type(self).__name__)
        kept = saved["attributes"] if isinstance(saved, dict) and state.global_step else {}
        if kept:
            self._watch.restore(kept["watch"])
            self.good, self._saved = kept["good"], kept["saved"]
            self._may_be_good(state)
        assert self._history is not None
        self._vouch_for(self._history.good_at(state.global_step))
        _scale_lr(loop["optimizer"], loop["lr_scheduler"], self._history.lr_scale / kept.get("lr_scale", 1.0))
        self._skip_draws(self._history.left_out_at(state.global_step))

    def _skip_draws(self, rollouts: int) -> None:
        prompts, args = self._trainer.prompts, self._trainer.args
        for _ in range(rollouts if prompts is not None and prompts.draws_all else 0):
            prompts.draw(args.generation_batch_size // args.num_generations)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: MetricsRow | None = None,
        **_: Any,
    ) -> TrainerControl:
        if not logs or "loss" not in logs:
            return control
        step, numbers = state.global_step, {"loss": logs["loss"], "grad_norm": logs.get("grad_norm")}
        alarms = self._watch.see(step, self._trainer.step_stats | numbers, self._trainer.held_out_scores)
        for alarm in alarms:
            if state.is_world_process_zero:
                log.warning("step %d: %s (guard: %s)", step, alarm.words, alarm.action)
        if back := next((alarm for alarm in alarms if alarm.action == "rollback"), None):
            raise RollBack(back, self.good)
        if broken := next((alarm for alarm in alarms if alarm.rule == "not_finite"), None):
            hint = "the last checkpoint is sound; lower the learning rate or look at that step's rollouts"
            raise Diverged(f"step {step}: {broken.words}", step, hint=hint)
        self._vouch(step)
        for alarm in alarms:
            self._note(alarm, state)
        if pause := next((alarm for alarm in alarms if alarm.action == "pause"), None):
            self._paused = pause
            self._watch.forget()
            control.should_save = control.should_training_stop = True
        return control

    @property
    def kept(self) -> tuple[int, ...]:
        """Return the steps of the checkpoints that a rollback may go to, now or once their window has passed."""
        return (self.good, *self._saved)

    def _vouch(self, step: int) -> None:
        for saved in self._saved:
            if step - saved >= self._watch.guard.window:
                self._vouch_for(saved)

    def _vouch_for(self, good: int) -> None:
        self.good = max(self.good, good)
        self._saved = [saved for saved in self._saved if saved > self.good]

    def _note(self, alarm: Alarm, state: TrainerState) -> None:
        if state.is_world_process_zero and self._history is not None:
            self._history.note(alarm)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._may_be_good(state)

    def _may_be_good(self, state: TrainerState) -> None:
        """Note that a rollback may once go to this step's checkpoint; one of a stop does not count: stops are chance.

        Of many within a window the oldest and the newest are noted, for each of them takes its room on the disk.
        """
        step = state.global_step
        if step % state.save_steps == 0 and step not in self._saved:
            self._saved = [*self._saved[:1], step]

    def rollback_for(self, error: Diverged) -> RollBack | None:
        """Return the rollback that a diverged policy asks for; None if the run is to fail."""
        action = self._watch.guard.not_finite.action
        if action != "rollback":
            return None
        log.warning("%s (guard: rollback)", error.what)
        return RollBack(Alarm(error.step, "not_finite", action, None, None, error.what), self.good)

    def raise_if_paused(self) -> None:
        if self._paused is not None:
            raise Paused(
                f"the guard paused the run after step {self._paused.step}: {self._paused.words}; "
                "look at the report; the same command goes on"
            )


def _scale_lr(optimizer: Any, scheduler: Any, factor: float) -> None:
    """Multiply the learning rate that a checkpoint brought, or the first one."""
    if factor == 1.0:
        return
    inner = getattr(scheduler, "scheduler", scheduler)
    inner.base_lrs = [base * factor for base in inner.base_lrs]
    inner._last_lr = [last * factor for last in inner._last_lr]
    for group in optimizer.param_groups:
        for key in ("lr", "initial_lr"):
            if key in group:
                group[key] = group[key] * factor
