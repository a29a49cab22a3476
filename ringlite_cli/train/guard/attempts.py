"""Trains until it ends well or for good: each rollback of the guard begins another attempt from a good checkpoint."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ringlite_cli.errors import Interrupted
from ringlite_cli.freeing import give_back
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.train.guard.history import History, RollBack
from ringlite_cli.train.resume.agreed import read_by_one

log = logging.getLogger(__name__)
Trained = TypeVar("Trained")


def with_rollbacks(
    train: Callable[[History], Trained], folder: Path, guard: Guard, updates: int, state: Any
) -> Trained:
    """Call train(history) until it returns, again after each rollback, and return its result.

    updates: optimizer steps of a rollout. state: accelerate's, which tells the ranks apart: one of them puts the
    folder back, the others wait. Raises what training raises, WorkFailed when the guard's patience is over, and
    Interrupted after a rollback in whose attempt the run was asked to stop.
    """
    history = History.read(folder)
    while True:
        try:
            return train(history)
        except RollBack as caught:
            back = caught
        history = read_by_one(partial(history.roll_back, back, guard, updates), state)
        at = history.rollbacks[-1].at
        log.warning(
            "back to step %d (rollback %d of %d), learning rate x %g, %d rollouts left out",
            at, history.attempt, guard.max_rollbacks, history.lr_scale, history.rollbacks[-1].skipped,
        )  # fmt: skip
        if back.stopping:
            raise Interrupted(f"stopped in step {back.alarm.step}, gone back to step {at}; the same command goes on")
        give_back()
