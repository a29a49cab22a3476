"""One attempt at an RL run: TRL's training loop with the callbacks that log, save, guard and stop it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ringlite_cli.errors import Diverged
from ringlite_cli.overlooked import Overlooked
from ringlite_cli.runs.files import MetricsWriter
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.train.engine.start import phase_stats
from ringlite_cli.train.guard.history import RollBack
from ringlite_cli.train.rl.unreached import Unreached
from ringlite_cli.train.speed import peak_here, phase_shares


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller puts into a run.

    on_step: gets each new row of metrics.jsonl. rollout_func: TRL's own seam for drawing responses by other means.
    as_written: returns a row as it is to be written.
    """

    on_step: Callable[[MetricsRow], None] | None = None
    rollout_func: Any = None
    as_written: Callable[[MetricsRow], MetricsRow] = lambda row: row


def speed(row: MetricsRow, flops: float, ranks: int, peak: float | None) -> MetricsRow:
    """Return how well a step used its GPUs. row: its counts and seconds.

    flops: of the update, NaN if not known. peak: FLOP/s of a card, None if not known.
    """
    seconds = max(row["update_seconds"], 1e-9)
    found: MetricsRow = {
        "tokens_per_second_per_gpu": row["tokens_trained"] / max(row["step_seconds"], 1e-9) / ranks,
        "update_tokens_per_second_per_gpu": row["tokens_forwarded"] / seconds / ranks,
    }
    return (
        found
        | phase_shares(row)
        | ({} if peak is None or math.isnan(flops) else {"mfu": flops / seconds / ranks / peak})
    )


def train(
    trainer: Any,
    metrics: MetricsWriter | None,
    hooks: Hooks,
    checkpoint: str | None,
    guard_callback: Any,
    lr_scale: float,
) -> None:
    """Train to the last step, from a checkpoint if there is one.

    metrics: None on ranks other than the first. Raises Diverged, the guard's RollBack or pause, Interrupted.
    """
    from ringlite_cli.train.resume.attention_kernels import AttentionKernels
    from ringlite_cli.train.resume.keeper import Keeper
    from ringlite_cli.train.resume.loading import WholeLoad
    from ringlite_cli.train.resume.new_values import NewValues
    from ringlite_cli.train.resume.stop import StopFlag
    from ringlite_cli.train.step_rows import EveryStep, StepRows
    from ringlite_cli.train.sums import sums_in_order

    peak = peak_here()

    def make_row(step: int, logs: MetricsRow, seconds: float) -> MetricsRow:
        stats, update_seconds = trainer.step_stats, time.perf_counter() - trainer.update_began
        row = {
            "step": step,
            "loss": logs["loss"],
            "grad_norm": logs.get("grad_norm"),
            "lr": logs["learning_rate"],
            **stats,
            "update_seconds": min(update_seconds, seconds) - stats.get("held_out_seconds", 0.0),
            "step_seconds": seconds,
            **phase_stats(trainer, stats, seconds),
        }
        return row | speed(row, trainer.step_flops, trainer.accelerator.num_processes, peak)

    def write(row: MetricsRow) -> None:
        assert metrics is not None  # the main rank alone writes rows
        metrics.append(hooks.as_written(row))
        if hooks.on_step is not None:
            hooks.on_step(row)

    keeper = Keeper(trainer, protected=lambda: guard_callback.kept if guard_callback else ())
    with StopFlag() as stop:
        loading = Overlooked(checkpoint)
        before = (EveryStep(trainer), StepRows(make_row, write), AttentionKernels(), Unreached(), guard_callback)
        for callback in (*before, NewValues(lr_scale), WholeLoad(loading), keeper, stop):
            if callback is not None:
                trainer.add_callback(callback)
        try:
            with loading, sums_in_order(trainer.accelerator.device):
                trainer.train(resume_from_checkpoint=checkpoint)
        except (Diverged, RollBack) as error:
            raise _leaving(error, guard_callback, lambda: stop.asked_anywhere(trainer.args)) from None
    if guard_callback:
        guard_callback.raise_if_paused()
    stop.raise_if_stopped(trainer.args.max_steps)
    keeper.raise_if_idle(trainer.state, trainer.args.max_steps)


def _leaving(error: Diverged | RollBack, guard_callback: Any, stopping: Callable[[], bool]) -> Exception:
    """Return the rollback that ends an attempt, with whether the run is asked to stop; without one, the error."""
    back = error if isinstance(error, RollBack) else guard_callback and guard_callback.rollback_for(error)
    if not back:
        return error
    back.stopping = stopping()
    return cast(RollBack, back)
