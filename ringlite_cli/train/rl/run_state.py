"""What a C3PO run carries from checkpoint to checkpoint beside weights and optimizer."""

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from ringlite_cli.c3po.mismatch import Remedy
from ringlite_cli.c3po.schedule import Budget
from ringlite_cli.train.rl.lengths import LengthHistory
from ringlite_cli.train.rl.prompts import PromptSource


class RunState(TrainerCallback, ExportableState):
    """Keeps what a run has learned in the checkpoint's trainer_state.json, and puts it back on a resume.

    That is the budget, the prompt source, the remedy's bound where it follows from earlier steps, and lengths.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        prompts: PromptSource | None = None,
        remedy: Remedy | None = None,
        lengths: LengthHistory | None = None,
    ) -> None:
        remedy = remedy if remedy is not None and remedy.learns else None
        self._parts = {"budget": budget, "prompts": prompts, "remedy": remedy, "lengths": lengths}

    def state(self) -> dict[str, Any]:
        kept = {name: part.state() for name, part in self._parts.items() if part is not None}
        return {"args": {}, "attributes": kept}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks.get(type(self).__name__)
        saved = saved[-1] if isinstance(saved, list) else saved
        if saved and state.global_step:
            for name, part in self._parts.items():
                if part is not None and name in saved["attributes"]:
                    part.restore(saved["attributes"][name])
