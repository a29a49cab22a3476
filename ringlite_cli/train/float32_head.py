"""The language-model head in float32 where TRL computes it in the number format of training.

Under bfloat16 TRL rounds every logit to eight bits: log-probabilities move by 0.01 nats, and so do ratios, KL and
entropy. Here the products of hidden states and head are float32. On a GPU its tensor cores take them (TF32: a bfloat16
number fits in whole, of a float32 weight ten bits are read, and sums are float32); plain float32 is ten times slower.
On a CPU `cpu_head` takes them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ringlite_cli.freeing import import_apart
from ringlite_cli.train.cpu_head import OUTPUTS, can_score, gradients, score


@contextmanager
def float32_head(trainers_module: str) -> Iterator[None]:
    """Give the models of a trainer that is made in this block a head in float32.

    trainers_module: of TRL, where the trainer's class stands.
    """
    module: Any = import_apart(trainers_module)
    _replace_products(import_apart("trl.trainer.utils"))
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
def tensor_cores() -> Iterator[None]:
    """Let a GPU multiply float32 matrices by its tensor cores in this block."""
    matmul: Any = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _replace_products(utils: Any) -> None:
    """Replace the function behind TRL's fused head, backwards too: tensor cores on a GPU, `cpu_head` on a CPU."""
    plain: Any = utils._ChunkedLogProbFunction
    if issubclass(plain, _Replaced):
        return
    leaves_out = utils._use_triton  # whether positions without a label are left out

    class Head(_Replaced, plain):
        @staticmethod
        def forward(
            ctx: Any,
            hidden: Any,
            weight: Any,
            bias: Any,
            targets: Any,
            temperature: float,
            chunk_size: int,
            softcap: float | None = None,
            scale: float = 1.0,
            outputs: tuple[str, ...] = OUTPUTS,
        ) -> Any:
            ctx.by_cpu_head = can_score(hidden, weight, softcap)
            if ctx.by_cpu_head:
                return score(ctx, hidden, weight, bias, targets, scale / temperature, outputs)
            with tensor_cores():
                return plain.forward(
                    ctx, hidden, weight, bias, targets, temperature, chunk_size, softcap, scale, outputs
                )

        @staticmethod
        def backward(ctx: Any, *given: Any) -> Any:
            if ctx.by_cpu_head:
                return (*gradients(ctx, *given[:2]), *[None] * 6)
            with tensor_cores():
                return plain.backward(ctx, *given)

    utils._ChunkedLogProbFunction = Head
    utils._use_triton = lambda device: device.type == "cpu" or leaves_out(device)


class _Replaced:
    """Marks the function that was put in place of TRL's."""
