"""Weights on their way to an engine: under the names of a published checkpoint, which vLLM's loaders know.

transformers stacks a mixture's experts in one tensor when it loads them; vLLM's models read them one by one, and a
loader that meets a name it does not know may raise, or leave the tensor out without a word.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.models.number_formats import in_autocast, in_engines
from ringlite_cli.models.rounding import DROPPED, round_by_chance


def published_weights(model: Any, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Yield each weight of a model as `save_pretrained` would write it: renamed, and taken apart if stacked.

    weights: (name in the model, whole tensor), one at a time; so are the results, which may be views.
    """
    from transformers.core_model_loading import revert_weight_conversion

    for name, tensor in weights:
        for published, part in revert_weight_conversion(model, {name: tensor}).items():
            yield published, part.contiguous()


def computed_weights(
    model: Any, weights: Iterable[tuple[str, Tensor]], engine: torch.dtype | None, *, autocast: bool
) -> Iterator[tuple[str, Tensor]]:
    """Yield weights as a trainer's passes compute with them, so that an engine draws from the same policy.

    What autocast multiplies in bfloat16 is rounded to it. An engine in a finer format would else hold updates that the
    passes do not see: after one AdamW step of 1e-6 in two layers of Ling-lite it was 0.5 nats a token away, and so
    0.03. What is computed in float32 is rounded by chance where the engine has 16 bits, for the nearest number would
    leave such updates out.

    engine: its number format, None where it is not known. autocast: whether passes are under it.
    """
    nearest = set(in_autocast(model)) if autocast else set()
    by_chance = set(in_engines(model)) if engine in DROPPED else set()
    for name, tensor in weights:
        if tensor.dtype != torch.float32:
            yield name, tensor
        elif name in nearest:
            yield name, tensor.to(torch.bfloat16)
        elif name in by_chance and tensor.dim() > 1:
            assert engine is not None
            yield name, round_by_chance(tensor, engine, name)
        else:
            yield name, tensor
