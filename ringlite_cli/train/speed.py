"""How well a step uses its GPUs: model FLOPs utilization (MFU), and the shares of its phases.

MFU = FLOPs that training needs / (seconds of the update x ranks x peak FLOP/s of a card). Counted are 6 FLOPs for each
token and each weight that it is multiplied with (of a mixture, the experts that it is sent to; 4 where the weight is
frozen, for it gets no gradient), the head for trained tokens alone, and causal attention: 6 x n^2 x heads x head size
for a sample of n tokens and each layer that sees all of it, and of a layer that sees a window what lies in the window.
Not counted: what gradient checkpointing computes again, reference and old log-probabilities, layers that keep a state
instead of attention or choose what they see, embeddings, norms.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.config_numbers import expert_counts, layer_kinds, window
from ringlite_cli.models.sizes import is_routed

PEAK_FLOPS: tuple[tuple[str, float], ...] = (
    (r"H(100|200) NVL|H100 NVL", 835e12),  # NVIDIA H100 NVL and H200 NVL product briefs
    (r"H100 PCIe", 756e12),  # NVIDIA H100 data sheet
    (r"G?H(100|200)", 989e12),  # NVIDIA H100, H200 and GH200 data sheets (SXM)
    (r"B200", 2250e12),  # NVIDIA DGX B200 data sheet: 18 PFLOP/s with 8 GPUs
    (r"A100", 312e12),  # NVIDIA A100 data sheet
    (r"L40S", 362e12),  # NVIDIA L40S data sheet
    (r"RTX 4090", 165e12),  # NVIDIA Ada architecture paper, with float32 sums
    (r"MI3(00|25)X", 1307e12),  # AMD Instinct data sheets
)
"""Dense bfloat16 matrix FLOP/s by a part of a device's name; the first that is found counts."""


def peak_flops(device: str) -> float | None:
    """Return the peak of a card by torch's name for it; None for a CPU, a part of a card (MIG), or one not listed."""
    if "MIG" in device:
        return None
    return next((peak for name, peak in PEAK_FLOPS if re.search(rf"\b({name})\b", device)), None)


def peak_here() -> float | None:
    """Return the peak of this process's GPU, or None."""
    return peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


@dataclass(frozen=True, slots=True)
class TrainingFlops:
    """FLOPs of forward and backward: of each token in the decoder, of each trained one in the head, and of each n^2.

    square: of all layers with attention, as if each saw the whole sample.
    """

    token: float
    head: float
    square: float

    def of(self, tokens: int, trained: int, squares: int) -> float:
        """Return the FLOPs of samples with so many tokens. squares: sum of the samples' `seen_squares`."""
        return self.token * tokens + self.head * trained + self.square * squares


def training_flops(model: nn.Module) -> TrainingFlops:
    """Count what a causal language model needs for a token. Call it before weights are shared out over ranks.

    NaN where the config of a mixture does not say how many of its experts a token is sent to.
    """
    lm: Any = model
    config = lm.config.get_text_config()
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    output = lm.get_output_embeddings()
    head = getattr(output, "base_layer", output).weight
    body = 0.0
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and id(weight) not in embeddings | {id(head)}:
            body += weight.numel() * (6 if weight.requires_grad else 4) * _active_share(config, name, weight)
    return TrainingFlops(body, head.numel() * (6.0 if head.requires_grad else 4.0), 6.0 * _attention_width(config))


def _active_share(config: Any, name: str, weight: Tensor) -> float:
    """Return the share of the tokens that meet a weight: of routed experts, those that a token is sent to."""
    if not is_routed(config, name, weight):
        return 1.0
    count, chosen = expert_counts(config)
    return chosen / count if count else math.nan


_ATTENTION = ("attention", "full_attention", "hybrid", "sliding_attention", "hybrid_sliding", "chunked_attention")
"""Kinds of layers that see the whole sample, or a window of it; a hybrid one keeps a state beside."""


def seen_squares(config: Any) -> Callable[[int], float]:
    """Return the function from a sample's tokens to their square, or the part of it that is seen in the mean layer.

    config: of a language model. A layer counts as much as its heads are many and wide.
    """
    widths: defaultdict[tuple[bool, int], float] = defaultdict(float)
    for kind, layer in _attending(config):
        widths[kind == "chunked_attention", window(kind, layer)] += _width(layer)
    total = sum(widths.values())

    def squares(tokens: int) -> float:
        return sum(_seen(tokens, *how) * width for how, width in widths.items()) / total if total else 0.0

    return squares


def _seen(tokens: int, chunked: bool, size: int) -> int:
    """Return twice the causal products of a sample in one layer. size: of its window or chunks; 0 for none."""
    if not size or tokens <= size:
        return tokens**2
    if chunked:
        return tokens // size * size**2 + (tokens % size) ** 2
    return 2 * tokens * size - size**2


def _attending(config: Any) -> list[tuple[str, Any]]:
    return [(kind, layer) for kind, layer in layer_kinds(config) if kind in _ATTENTION]


def _attention_width(config: Any) -> float:
    """Return heads x head size, summed over the layers with attention."""
    return float(sum(_width(layer) for _, layer in _attending(config)))


def _width(layer: Any) -> float:
    """Return heads x head size of a layer, by its config."""
    heads = layer.num_attention_heads
    size = getattr(layer, "head_dim", None) or layer.hidden_size // heads
    key, value = (getattr(layer, name, None) or size for name in ("qk_head_dim", "v_head_dim"))
    return float(heads * (key + value) / 2)


PHASES = ("generation", "sync", "reward", "reference", "update")
"""The phases of an RL step that have a share; `idle_share` is the rest."""


def phase_shares(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the shares of a step's phases, which are 1 together.

    row: the step's seconds, as in metrics.jsonl. Generation is the engine's time that the step waits for; without an
    engine that tells it, the rollout's. Idle is when neither an engine nor the trainer computes: gathering, packing,
    logging, checkpoints.
    """
    step = max(row["step_seconds"], 1e-9)
    sync = min(row.get("sync_seconds", 0.0), row["rollout_seconds"])
    waited = row["rollout_seconds"] - sync
    seconds = {
        "generation": min(row.get("generation_seconds", waited), waited),
        "sync": sync,
        "reward": row["reward_seconds"],
        "reference": row.get("reference_seconds", 0.0),
        "update": row["update_seconds"],
    }
    shares = {f"{name}_share": seconds[name] / step for name in PHASES}
    return shares | {"idle_share": max(0.0, 1 - sum(shares.values()))}
