"""The policy's entropy in nats per response token: the full distribution, teacher-forced, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.c3po.packing import (
    IGNORED,
    PackedSample,
    backbone,
    balance_rows,
    base_causal_lm,
    evaluating,
    forward_inputs,
    pack_row,
)
from ringlite_cli.c3po.row_path import row_path_in_use
from ringlite_cli.errors import UserError

TILE_FLOATS = 1 << 24
"""Logits held at a time (64 MiB in float32), whatever the vocabulary."""


@dataclass(frozen=True, slots=True)
class ResponseEntropy:
    """One response: its mean entropy (nats per token) and its tokens' log-probabilities."""

    entropy: float
    log_probs: list[float]


def policy_entropy(
    model: nn.Module,
    samples: Sequence[tuple[Sequence[int], Sequence[int]]],
    row_tokens: int,
    *,
    temperature: float = 1.0,
) -> list[ResponseEntropy]:
    """Entropy and log-probabilities of (prompt ids, response ids) pairs, in order, from packed forward passes.

    row_tokens: aimed length of a packed row; a longer sample gets a longer row. An empty response has entropy NaN.
    The same quantity that the RL trainer logs as `entropy`. Raises UserError for a model whose head is not linear.
    """
    check_head_is_linear(model)
    packed = [PackedSample(i, list(p), list(r), 0.0) for i, (p, r) in enumerate(samples)]
    results: list[ResponseEntropy | None] = [None] * len(packed)
    rows = max(1, ceil(sum(s.size for s in packed) / row_tokens))
    device = next(model.parameters()).device
    with row_path_in_use(model), evaluating(model):
        for members in balance_rows([s.size for s in packed], rows):
            in_row = [packed[i] for i in members]
            if not in_row:
                continue
            row = pack_row(in_row, device)
            hidden = backbone(model)(**forward_inputs(model, row), use_cache=False).last_hidden_state
            trained = row["shift_labels"] != IGNORED
            log_probs, entropy = _score(model, hidden[trained], row["shift_labels"][trained], temperature)
            sizes = [len(s.response) for s in in_row]
            for sample, logp, h in zip(in_row, log_probs.split(sizes), entropy.split(sizes), strict=True):
                results[sample.index] = ResponseEntropy(h.double().mean().item(), logp.tolist())
    return [result for result in results if result is not None]


def _score(model: nn.Module, hidden: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(log_probs, entropy), both (N,) float32 on the CPU, from hidden states (N, H) and next tokens (N,)."""
    vocabulary = base_causal_lm(model).get_output_embeddings().weight.shape[0]
    tile = max(1, TILE_FLOATS // vocabulary)
    scored: list[tuple[Tensor, Tensor]] = [(torch.zeros(0), torch.zeros(0))]
    for states, targets in zip(hidden.split(tile), labels.split(tile), strict=True):
        logits = head_logits(model, states) / temperature
        log_z = torch.logsumexp(logits, dim=-1)
        entropy = log_z - (torch.softmax(logits, dim=-1) * logits).sum(-1)
        log_probs = logits.gather(-1, targets[:, None]).squeeze(-1) - log_z
        scored.append((log_probs.cpu(), entropy.cpu()))
    return torch.cat([s[0] for s in scored]), torch.cat([s[1] for s in scored])


def head_logits(model: nn.Module, hidden: Tensor) -> Tensor:
    """Logits (N, V) float32 of hidden states (N, H), with the soft cap of the models that have one.

    What a 16-bit head would round is not rounded: sums of its products are float32.
    """
    lm = base_causal_lm(model)
    logits = _project(lm.get_output_embeddings(), hidden)
    cap = getattr(lm.config.get_text_config(), "final_logit_softcapping", None)
    return cap * torch.tanh(logits / cap) if cap else logits


def _project(head: Any, hidden: Tensor) -> Tensor:
    """(N, V) in float32 where the head is one matrix, else as it computes."""
    if hidden.dtype == torch.float32 or type(head) is not nn.Linear or head.weight.dtype != hidden.dtype:
        projected: Tensor = head(hidden)
        return projected.float()
    if hidden.is_cuda:  # products of 16-bit numbers, added in float32
        logits = torch.mm(hidden, head.weight.t(), out_dtype=torch.float32)
    else:
        logits = hidden.float() @ head.weight.float().t()
    return logits if head.bias is None else logits + head.bias.float()


def check_head_is_linear(model: nn.Module) -> None:
    """Raise UserError if the model turns hidden states into logits by more than its head (scaling, normalising)."""
    device = next(model.parameters()).device
    ids = torch.arange(4, device=device)[None]
    with evaluating(model):
        own = base_causal_lm(model)(input_ids=ids, use_cache=False).logits.float()
        ours = head_logits(model, backbone(model)(input_ids=ids, use_cache=False).last_hidden_state[0])
    if not torch.allclose(own[0], ours, rtol=2e-2, atol=2e-2 * own.abs().max().item()):
        raise UserError(
            f"{type(base_causal_lm(model)).__name__} computes its logits by more than a linear head",
            where="model",
            hint="entropy is measured from the hidden states; use an architecture with a plain language-model head",
        )
