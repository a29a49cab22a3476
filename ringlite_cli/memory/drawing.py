"""What the trainer's own model takes while it draws responses, all of a rank in one batch. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringlite_cli.config_numbers import number
from ringlite_cli.memory.caches import Cache, cache_of
from ringlite_cli.memory.held import Shape, Training, whole_weights, wide_states
from ringlite_cli.recipe.trl_fields import trl_default

_FLOAT32 = 12
"""Bytes of a word of the vocabulary in a step: the logits' copy in float32, probabilities, and the draw's own copy."""
_WORK = {
    "temperature": (1.0, 4),
    "top_k": (0, 5),
    "repetition_penalty": (1.0, 8),
    "min_p": (0.0, 9),
    "top_p": (1.0, 22),
}
"""TRL's fields that change logits before a draw: the value that changes nothing, and the bytes of a word beside those.
top_p sorts: sorted logits, their places, probabilities and sums."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Responses that the trainer's own model draws, all in one batch.

    kept: of a response, by its length. length: tokens of the longest, with its prompt; all are padded to it. work:
    bytes of a step: logits and what a draw makes of them, and the copies of the weights that it multiplies by.
    """

    kept: Cache
    responses: int
    length: int
    work: int = 0

    @property
    def size(self) -> int:
        """Keys and values of the batch where a response reaches its full length."""
        return self.responses * self.kept.of(self.length)


def drawn_of(
    trl: Mapping[str, Any], shape: Shape, how: Training, *, responses: int, length: int, piece: int = 0
) -> Drawn | None:
    """Return what the trainer's own model takes for the responses that it draws; None where a vLLM draws them.

    All of a rank are drawn in one batch. transformers keeps keys and values in the format of the hidden states: in
    float32 under autocast, in which they are rotated. piece: steps whose scores are kept until the last of them.
    """
    if trl.get("use_vllm"):
        return None
    wide = wide_states(shape, how)
    words = responses * number(shape.config, "vocab_size")
    logits = 2 if how.bf16 else 4
    drawing = words * (logits + _FLOAT32 + _more(trl) + 4 * piece)
    casts = 2 * shape.total if wide else 0  # float32 weights in bfloat16, until a step's pass ends
    work = max(drawing, casts + words * (logits + 4 * piece))
    kept = cache_of(shape.config, width=2 if how.bf16 and not wide else 4)
    return Drawn(kept, responses, length, work + whole_weights(shape, how))


def _more(trl: Mapping[str, Any]) -> int:
    """Return the bytes of a word beside those of a plain draw; where several fields work, their results lie beside."""
    found = []
    for name, (nothing, size) in _WORK.items():
        value = trl[name] if name in trl else trl_default("GRPOConfig", name)
        if value is not None and value != nothing:
            found.append(size)
    return max(found, default=0) + (4 if len(found) > 1 else 0)
