"""The language-model head in float32 where TRL computes it in the number format of training.

Under bfloat16 TRL rounds every logit to eight bits: log-probabilities move by 0.01 nats, and so do ratios, KL and
entropy. Here the products of hidden states and head are float32. On a GPU its tensor cores take them (TF32: a bfloat16
number fits in whole, of a float32 weight ten bits are read, and sums are float32); plain float32 is ten times slower.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.freeing import import_apart

_WORDS = 16_384
"""Rows of a head's weight that are in float32 at a time."""


@contextmanager
def float32_head(trainers_module: str) -> Iterator[None]:
    """Give the models of a trainer that is made in this block a head in float32.

    trainers_module: of TRL, where the trainer's class stands.
    """
    module: Any = import_apart(trainers_module)
    _use_tensor_cores(import_apart("trl.trainer.utils"))
    plain, module.add_fused_lm_head = module.add_fused_lm_head, add_head
    try:
        yield
    finally:
        module.add_fused_lm_head = plain


def add_head(model: Any, **options: Any) -> None:
    """Give a model TRL's fused head, in float32. options: of TRL's add_fused_lm_head."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model, **options | {"cast_lm_head_to_fp32": True})


@contextmanager
def head_in_float32(model: Any) -> Iterator[None]:
    """Have a model's own forward pass compute its head in float32 in this block, also under autocast.

    An adapted head is left as it is.
    """
    head: Any = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear:
        yield
        return

    def exact(hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            parts = [hidden.float() @ part.float().t() for part in head.weight.split(_WORDS)]
            logits = torch.cat(parts, dim=-1)
            return logits if head.bias is None else logits + head.bias.float()

    head.forward = exact  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del head.forward


@contextmanager
def tensor_cores() -> Iterator[None]:
    """Let a GPU multiply float32 matrices by its tensor cores in this block."""
    matmul: Any = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _use_tensor_cores(utils: Any) -> None:
    """Replace the function behind TRL's fused head by one that multiplies on tensor cores, also backwards."""
    plain: Any = utils._ChunkedLogProbFunction
    if issubclass(plain, _OnTensorCores):
        return

    class Head(_OnTensorCores, plain):
        @staticmethod
        def forward(ctx: Any, *given: Any) -> Any:
            with tensor_cores():
                return plain.forward(ctx, *given)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            with tensor_cores():
                return plain.backward(ctx, *gradients)

    utils._ChunkedLogProbFunction = Head


class _OnTensorCores:
    """Marks the function that was put in place of TRL's."""
