"""Trackers of a training stage (`trl.report_to`): named after the run, and writing into the stage's folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ringlite_cli.recipe.tracking import trackers
from ringlite_cli.stages.base import Context

_FOLDERS = {"TENSORBOARD_LOGGING_DIR": "tensorboard", "WANDB_DIR": "."}
"""Where trackers write, unless the user's environment says so: variable -> place in the stage's folder."""


@contextmanager
def tracked(context: Context) -> Iterator[dict[str, Any]]:
    """The stage's `trl` fields, with the run's name for its trackers; their variables hold for the block."""
    trl = context.section.trl
    if not trackers(trl):
        yield trl
        return
    ours = {name: str(context.folder / place) for name, place in _FOLDERS.items()}
    ours |= {"WANDB_PROJECT": "ringlite"}
    added = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(added)
    before = _wandb_run()
    try:
        yield {"run_name": f"{context.recipe.name}.{context.name}", "project": "ringlite", **trl}
    finally:
        run = _wandb_run()
        if run is not None and run is not before:
            run.finish()  # the next stage of this process would go on in it, under this one's name
            sys.modules["wandb"].teardown()  # it keeps the first WANDB_DIR that it has seen
        for name in added:
            os.environ.pop(name, None)


def _wandb_run() -> Any:
    """wandb's active run; None where it has none, or is not loaded."""
    return getattr(sys.modules.get("wandb"), "run", None)
