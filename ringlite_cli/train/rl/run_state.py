"""What a C3PO run carries from checkpoint to checkpoint beside weights and optimizer, and callbacks of its start."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from ringlite_cli.c3po.schedule import Budget
from ringlite_cli.train.rl.prompts import PromptSource


class RunState(TrainerCallback, ExportableState):
    """Keeps the budget and the prompt source in the checkpoint's trainer_state.json, and puts them back on a resume."""

    def __init__(self, budget: Budget | None = None, prompts: PromptSource | None = None) -> None:
        self.budget, self.prompts = budget, prompts

    def state(self) -> dict[str, Any]:
        parts = {"budget": self.budget, "prompts": self.prompts}
        return {"args": {}, "attributes": {name: part.state() for name, part in parts.items() if part is not None}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks.get(type(self).__name__)
        saved = saved[-1] if isinstance(saved, list) else saved
        if saved and state.global_step:
            for name, part in (("budget", self.budget), ("prompts", self.prompts)):
                if part is not None and name in saved["attributes"]:
                    part.restore(saved["attributes"][name])


class WhenSharded(TrainerCallback):
    """Runs the probes when a sharded model has been put together; the Trainer's wrapper is then `model_wrapped`."""

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._probe()
