"""The language-model head on a CPU: log-probabilities and entropies of the trained positions, a few rows at a time.

TRL scores every position where it has no Triton, prompts too, and walks a dozen times over all logits at once. Here the
positions without a label are left out, and the logits of a few rows stay in the processor's cache until they are done.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

TILE = 1 << 18
"""Logits that are held at once: a megabyte."""
LEAST_ROWS = 64
"""Fewer rows make a product of matrices slow, however large the vocabulary."""
OUTPUTS = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
"""What TRL may ask for beside log-probabilities, in its order; only the first has a gradient."""


def can_score(hidden: Tensor, weight: Tensor, softcap: float | None) -> bool:
    """Return whether `score` takes this head: in float32 on a CPU, without a cap on logits."""
    if hidden.device.type != "cpu" or torch.is_autocast_enabled("cpu") or softcap is not None:
        return False
    return hidden.dtype == weight.dtype == torch.float32


def score(
    ctx: Any,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    scale: float,
    outputs: tuple[str, ...],
) -> tuple[Tensor | None, ...]:
    """Return log-probabilities of the targets and what `outputs` asks for beside them, each (N,); None where not asked.

    hidden: (N, H). weight: (V, H). bias: (V,). targets: (N,) token ids. scale: of the logits, one over the temperature.
    outputs: of entropy (nats), log_sum_sq_probs, mean_logits and is_top1. ctx: keeps what `gradients` needs.
    """
    found: dict[str, Tensor] = {
        name: hidden.new_empty(len(hidden), dtype=torch.bool if name == "is_top1" else torch.float32)
        for name in ("log_z", "log_probs", *outputs)
    }
    for rows in _tiles(len(hidden), len(weight)):
        logits = _logits(hidden[rows], weight, bias, scale)
        log_z = found["log_z"][rows] = logits.logsumexp(-1)
        target = logits.gather(-1, targets[rows, None]).squeeze(-1)
        found["log_probs"][rows] = target - log_z
        if "mean_logits" in outputs:
            found["mean_logits"][rows] = logits.mean(-1)
        if "is_top1" in outputs:
            found["is_top1"][rows] = logits.argmax(-1) == targets[rows]
        if "log_sum_sq_probs" in outputs:
            found["log_sum_sq_probs"][rows] = (2 * logits).logsumexp(-1) - 2 * log_z
        if "entropy" in outputs:
            chances = (logits - log_z[:, None]).exp_()
            found["entropy"][rows] = log_z - torch.einsum("nv,nv->n", chances, logits)
    ctx.scale = scale
    ctx.save_for_backward(hidden, weight, bias, targets, found["log_z"], found.get("entropy"))
    ctx.mark_non_differentiable(*(found[name] for name in OUTPUTS[1:] if name in found))
    ctx.set_materialize_grads(False)
    return tuple(found.get(name) for name in ("log_probs", *OUTPUTS))


def gradients(
    ctx: Any, of_log_probs: Tensor | None, of_entropy: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of hidden states, weight and bias. of_log_probs, of_entropy: (N,), None where there is none.

    With p the chances of a row's tokens and h its entropy, d log p(target) / d logit_j = [j = target] - p_j and
    d h / d logit_j = -p_j (log p_j + h).
    """
    hidden, weight, bias, targets, log_z, entropy = ctx.saved_tensors
    wanted = ctx.needs_input_grad[:3]
    of_hidden, of_weight, of_bias = (
        torch.zeros_like(x) if x is not None and want else None
        for x, want in zip((hidden, weight, bias), wanted, strict=True)
    )
    for rows in _tiles(len(hidden), len(weight)):
        log_p = _logits(hidden[rows], weight, bias, ctx.scale).sub_(log_z[rows, None])
        of_logits = log_p.exp()
        if of_entropy is not None:
            log_p.add_(entropy[rows, None]).mul_(of_entropy[rows, None])
            if of_log_probs is not None:
                log_p.add_(of_log_probs[rows, None])
            of_logits.mul_(log_p.neg_())
        elif of_log_probs is not None:
            of_logits.mul_(-of_log_probs[rows, None])
        if of_log_probs is not None:
            of_logits.scatter_add_(-1, targets[rows, None], of_log_probs[rows, None])
        of_logits.mul_(ctx.scale)
        if of_hidden is not None:
            torch.mm(of_logits, weight, out=of_hidden[rows])
        if of_weight is not None:
            of_weight.addmm_(of_logits.t(), hidden[rows])
        if of_bias is not None:
            of_bias += of_logits.sum(0)
    return of_hidden, of_weight, of_bias


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """(n, V) logits, scaled."""
    logits = hidden @ weight.t()
    if bias is not None:
        logits += bias
    return logits if scale == 1.0 else logits.mul_(scale)


def _tiles(rows: int, vocabulary: int) -> Iterator[slice]:
    """The rows, some at a time."""
    step = max(LEAST_ROWS, TILE // vocabulary)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
