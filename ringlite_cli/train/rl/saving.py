"""The trained policy, written as a plain Hugging Face folder."""

import shutil
from pathlib import Path
from typing import Any

import torch

from ringlite_cli.models.adapters import merged, merged_apart
from ringlite_cli.models.generation import FILE as GENERATION
from ringlite_cli.models.number_formats import learned_finely
from ringlite_cli.train.base_model import save_plain
from ringlite_cli.train.sharded import whole_weights
from ringlite_cli.whole import whole


def save_policy(trainer: Any, tokenizer: Any, folder: Path, before: Path, dtype: str) -> None:
    """Write the weights beside their place first, so that `policy` is whole or not there.

    An adapter is merged first, and weights that were trained in float32 are rounded to the recipe's dtype. The settings
    for drawing tokens are those of the policy before, from which RL has kept the model.
    """
    adapted = hasattr(trainer.model, "merge_and_unload")
    weights = None
    if trainer.is_fsdp_enabled:
        prefix = trainer.model.prefix if adapted else ""
        weights = whole_weights(trainer, only=lambda name: prefix in name)
    if trainer.accelerator.is_main_process:
        if weights is not None and adapted:
            network, weights = merged_apart(trainer.model, before, weights, getattr(torch, dtype)), None
        else:
            network = merged(trainer.model, getattr(torch, dtype)) if adapted else trainer.model
            network = trainer.accelerator.unwrap_model(network)
        with whole(folder, folder=True) as partial:
            save_plain(
                network, tokenizer, partial, dtype, weights, by_chance=learned_finely(network, trainer.accelerator)
            )
            if (Path(before) / GENERATION).is_file():
                shutil.copyfile(Path(before) / GENERATION, partial / GENERATION)
    trainer.accelerator.wait_for_everyone()
