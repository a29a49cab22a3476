"""What each GPU holds while a model is trained, part by part, in bytes. No torch.

The formulas are tested against what real models keep, counted tensor by tensor; docs/memory.md has what was measured
on GPUs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from ringlite_cli.config_numbers import number
from ringlite_cli.memory.optimizers import optimizer_bytes
from ringlite_cli.memory.rows import activation_bytes

CONTEXT = int(0.6 * 2**30)
"""CUDA itself, its libraries and kernels."""
OF_UPDATES = ("gradients", "whole")
"""Parts of what is held that are there in an update alone."""
_TILE = (4096, 32_768)
"""Tokens and words of the logits that the fused head has in memory at a time, in float32."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What memory depends on of a model.

    total: all parameters. trained: those with a gradient; an adapter's alone, where one is trained. embedding: those of
    the embedding and of the head. block: those of the largest layer. config: a transformers text config. adapted:
    numbers that an adapter keeps of a token for its gradients: the inputs of all layers that it changes, and its ranks.
    frozen: of a model that is trained itself, the parameters without a gradient, as the bias of a router. idle: of an
    adapter, those that no gradient reaches. tried: what a token, and a pair of tokens, takes in a pass of the model
    itself, by (wide, checkpointing, fused, eager); None where it is not known.
    """

    total: int
    trained: int
    embedding: int
    block: int
    config: Any
    adapted: int = 0
    frozen: int = 0
    idle: int = 0
    tried: Callable[[bool, bool, bool, bool], tuple[float, float] | None] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def adapter(self) -> int:
        """Parameters of the adapter beside the model; 0 where the model itself is trained."""
        return 0 if self.trained + self.frozen == self.total else self.trained


@dataclass(frozen=True, slots=True)
class Training:
    """How a model is trained.

    bf16: computed with in bfloat16; weights that are trained are float32 all the same. frozen: bytes of a weight beside
    an adapter; None is as computed with. row_tokens: of the longest row. shards: ranks that share weights, gradients
    and optimizer (FSDP2). offload: these lie in the host's memory (FSDP2). reshard: weights that a pass has
    gathered are given up layer by layer (FSDP2); else they stay whole until the backward pass. fused: norms and the
    feed-forward's product are fused kernels (liger). scorer: bytes of a reward model that scores on the same GPU, with
    a batch of it. scores: tokens of a sample of which eager attention keeps all scores; 0 for attention that keeps
    none.
    """

    bf16: bool = True
    frozen: int | None = None
    reference: bool = False
    optimizer: str | None = None
    checkpointing: bool = False
    row_tokens: int = 0
    shards: int = 1
    offload: bool = False
    reshard: bool = True
    fused: bool = True
    scorer: int = 0
    scores: int = 0


def held_parts(shape: Shape, how: Training) -> dict[str, int]:
    """Return the bytes on each GPU of what is held from step to step and in an update, by name."""
    beside = shape.adapter > 0
    weights = _frozen(how) * shape.total + 4 * shape.trained if beside else 4 * shape.total
    parts = {
        "weights": weights,
        "gradients": 4 * (shape.trained - shape.idle),
        "optimizer": ceil(optimizer_bytes(how.optimizer) * (shape.trained - shape.idle)),
        "reference": 4 * shape.total if how.reference and not beside else 0,
    }
    held = {name: 0 if how.offload else ceil(size / how.shards) for name, size in parts.items()}
    if parts["reference"] and _stays_whole(how):
        held["reference"] += (2 if how.bf16 else 4) * shape.total  # it has no backward pass, which would give it up
    return held | {"gathered": _gathered(shape, how), "whole": whole_weights(shape, how), "scorer": how.scorer}


def update_parts(shape: Shape, how: Training) -> dict[str, int]:
    """Return what an update takes on top, by name: activations of the longest row, and the head's work."""
    hidden, words = number(shape.config, "hidden_size"), number(shape.config, "vocab_size")
    per_token = _of_token(shape, how)
    casts = 2 * shape.total if wide_states(shape, how) else 0  # float32 weights in bfloat16, kept for the backward pass
    width = 1 if how.bf16 else 2
    return {
        "activations": int(width * per_token * how.row_tokens) + (0 if how.checkpointing else casts),
        "head": _head(how, hidden, words, trained=not shape.adapter, narrow=_narrow_head(shape, how)),
    }


def _of_token(shape: Shape, how: Training) -> float:
    """Return what a token takes in a pass in 16 bits, as the model itself has it where that could be tried."""
    wide = wide_states(shape, how)
    found = shape.tried(wide, how.checkpointing, how.fused, how.scores > 0) if shape.tried else None
    if found is not None:
        return found[0] + found[1] * how.scores
    return activation_bytes(
        shape.config,
        checkpointing=how.checkpointing,
        fused=how.fused,
        wide=wide,
        adapter=shape.adapted if shape.adapter else 0,
        scores=how.scores,
    )


def _head(how: Training, hidden: int, words: int, *, trained: bool, narrow: bool) -> int:
    """Return the bytes that the fused head works with: a tile of logits, the last hidden states and their gradient.

    trained: its weights have a gradient. narrow: they are in 16 bits, of which slices are read in float32; their
    gradient is rounded to 16 bits in a copy.
    """
    tile = 4 * min(_TILE[0], how.row_tokens) * _TILE[1]
    states = 2 * 4 * how.row_tokens * hidden
    gradient = (6 if narrow else 4) * hidden * words if trained else 0
    return tile + states + gradient + (4 * min(_TILE[1], words) * hidden if narrow else 0)


def _narrow_head(shape: Shape, how: Training) -> bool:
    """Return whether the head's weights are in 16 bits in a pass: shared out in bfloat16, or frozen in it."""
    return _frozen(how) == 2 if shape.adapter else how.bf16 and how.shards > 1


def wide_states(shape: Shape, how: Training) -> bool:
    """Return whether hidden states between layers are float32: embeddings in float32 make them so under autocast."""
    return how.bf16 and how.shards == 1 and (not shape.adapter or _frozen(how) == 4)


def _frozen(how: Training) -> int:
    return how.frozen or (2 if how.bf16 else 4)


def _gathered(shape: Shape, how: Training) -> int:
    """Bytes of what FSDP2 holds whole for a while: weights of layers, and the gradients of one.

    Weights are those of a layer, of the next, of the buffer out of which that one is copied, and of embedding and head.
    Gradients are as computed, and in float32 on their way to the ranks that share them.
    """
    if how.shards == 1 and not how.offload:
        return 0
    width = 2 if how.bf16 else 4
    gradients = 0 if shape.adapter else (width + 4) * max(shape.block, shape.embedding)
    return width * (3 * shape.block + shape.embedding) + gradients


def whole_weights(shape: Shape, how: Training) -> int:
    """Return the bytes of weights that FSDP2 leaves gathered behind a forward pass, beside what `gathered` has."""
    if not _stays_whole(how):
        return 0
    return (2 if how.bf16 else 4) * max(0, shape.total + shape.adapter - 2 * shape.block - shape.embedding)


def _stays_whole(how: Training) -> bool:
    return not how.reshard and (how.shards > 1 or how.offload)


def resident(parts: dict[str, int]) -> int:
    """Return the bytes that are taken while responses are drawn: all but gradients, and weights whole for an update.

    Under FSDP2 layers are gathered then too: a weight sync and the comparison behind it do so, with the engine awake,
    and torch keeps their blocks.
    """
    return sum(size for name, size in parts.items() if name not in OF_UPDATES)
