"""What SFT leaves on disk while it trains: rows of metrics.jsonl, and checkpoints for later stages."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from ringlite_cli.errors import WorkFailed
from ringlite_cli.models.number_formats import learned_finely
from ringlite_cli.presence import is_there
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.train.base_model import save_plain
from ringlite_cli.train.resume.training import steps_per_epoch
from ringlite_cli.train.sharded import whole_weights
from ringlite_cli.whole import whole

if TYPE_CHECKING:
    from trl import SFTTrainer

OnStep = Callable[[dict[str, Any]], None]

_STATE = "ringlite_tokens.json"


class Recorder(TrainerCallback):
    """Writes metrics rows and checkpoints. planned: the steps after which a checkpoint is kept."""

    started = 0.0
    losses: tuple[float, ...] = ()  # since the last checkpoint

    def __init__(self, trainer: "SFTTrainer", out_dir: Path, planned: Sequence[int], on_step: OnStep | None) -> None:
        self._trainer: Any = trainer
        self._out_dir, self._planned, self._on_step = out_dir, planned, on_step
        self._of_epoch = steps_per_epoch(trainer)
        self.row: Mapping[str, Any] = {}  # the last metrics row

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = self._out_dir / "trainer" / f"checkpoint-{state.global_step}" / _STATE
        kept = read_json(saved) if state.global_step and is_there(saved) else {}
        self._trainer.loss_tokens = kept.get("loss_tokens", 0)
        self._trainer._total_train_tokens = kept.get("tokens_seen", 0)  # TRL counts it, but does not keep it
        self.losses = tuple(kept.get("losses", ()))

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds = time.perf_counter() - self.started
        control.should_log = control.should_log or state.global_step in self._planned
        control.should_save = control.should_save or state.global_step in self._planned

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise WorkFailed(
                f"the loss became {logs['loss']} at step {state.global_step}",
                where="sft",
                hint="lower learning_rate",
            )
        self.losses += (logs["loss"],)
        self.row = {
            "step": state.global_step,
            "epoch": round(float(state.epoch or 0), 4),
            "loss": logs["loss"],
            "lr": logs.get("learning_rate"),
            "grad_norm": logs.get("grad_norm"),
            "tokens_trained": self._trainer.loss_tokens,
            "tokens_seen": logs.get("num_tokens"),
            "mean_token_accuracy": logs.get("mean_token_accuracy"),
            "aux_loss": logs.get("aux_loss"),
            "step_seconds": self.seconds,
        }
        if self._on_step and state.is_world_process_zero:
            self._on_step(dict(self.row))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        keeps = state.global_step in self._planned
        weights = whole_weights(self._trainer) if self._trainer.is_fsdp_enabled and keeps else None
        if not state.is_world_process_zero:
            return
        if keeps:
            loss = sum(self.losses) / len(self.losses) if self.losses else None
            self.losses = ()
            _keep(
                self._trainer,
                self._out_dir,
                {
                    "step": state.global_step,
                    "epoch": round(float(state.epoch or 0), 4),
                    "tokens_trained": self._trainer.loss_tokens,
                    "loss": loss,
                },
                weights,
            )
        write_json(
            self._out_dir / "trainer" / f"checkpoint-{state.global_step}" / _STATE,
            {
                "loss_tokens": self._trainer.loss_tokens,
                "tokens_seen": self._trainer._total_train_tokens,
                "losses": self.losses,
                "steps_per_epoch": self._of_epoch,
            },
        )


def _keep(
    trainer: "SFTTrainer", out_dir: Path, facts: dict[str, Any], weights: Mapping[str, Any] | None = None
) -> None:
    """Write `checkpoints/checkpoint-<step>/` whole, then add it to checkpoints.json. weights: as save_plain's."""
    name = f"checkpoint-{facts['step']}"
    folder = out_dir / "checkpoints" / name
    network = trainer.accelerator.unwrap_model(trainer.model)
    routing = getattr(network.config, "output_router_logits", None)
    with whole(folder, folder=True) as partial:
        try:
            by_chance = learned_finely(network, trainer.accelerator)
            save_plain(network, trainer.processing_class, partial, trainer.saved_dtype, weights, by_chance)
        finally:
            if routing is not None:
                network.config.output_router_logits = routing  # TRL's own loss needs it for the steps to come
        write_json(partial / "ringlite.json", facts)
    index = out_dir / "checkpoints.json"
    kept = [c for c in (read_json(index) if is_there(index) else []) if c["step"] < facts["step"]]
    write_json(index, [*kept, {"name": name, "path": f"checkpoints/{name}", **facts}])
