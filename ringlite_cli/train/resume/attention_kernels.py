"""Lets all ranks, and a run that is resumed, take the same attention kernels."""

import logging
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from ringlite_cli.c3po.kernel_choice import adopt, decided

log = logging.getLogger(__name__)


class AttentionKernels(TrainerCallback, ExportableState):
    """Keep the chosen kernels in trainer_state.json, take them up on a resume, and the first rank's on every rank.

    Ranks agree before the first step and after it, when every kind of attention of the model has been used.
    """

    def __init__(self) -> None:
        self._agreed = False

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": decided()}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = state.stateful_callbacks.get(type(self).__name__)
        saved = saved[-1] if isinstance(saved, list) else saved
        if saved and state.global_step:
            self._take(saved["attributes"], state)
        self._agree(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self._agreed:
            self._agreed = True
            self._agree(state)

    def _agree(self, state: Any) -> None:
        from accelerate.utils import broadcast_object_list

        self._take(broadcast_object_list([decided()])[0], state)

    def _take(self, table: Mapping[str, str], state: Any) -> None:
        for line in adopt(table):
            if state.is_local_process_zero:
                log.warning("%s", line)
