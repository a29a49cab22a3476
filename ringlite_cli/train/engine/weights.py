"""Weights on their way to an engine: under the names of a published checkpoint, which vLLM's loaders know.

transformers stacks a mixture's experts in one tensor when it loads them; vLLM's models read them one by one, and a
loader that meets a name it does not know may raise, or leave the tensor out without a word.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor


def published_weights(model: Any, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Yield each weight of a model as `save_pretrained` would write it: renamed, and taken apart if stacked.

    weights: (name in the model, whole tensor), one at a time; so are the results, which may be views.
    """
    from transformers.core_model_loading import revert_weight_conversion

    for name, tensor in weights:
        for published, part in revert_weight_conversion(model, {name: tensor}).items():
            yield published, part.contiguous()
