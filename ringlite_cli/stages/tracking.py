"""Trackers of a training stage (`trl.report_to`): named after the run, and writing into the stage's folder."""

import os
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
    try:
        yield {"run_name": f"{context.recipe.name}.{context.name}", "project": "ringlite", **trl}
    finally:
        for name in added:
            os.environ.pop(name, None)
