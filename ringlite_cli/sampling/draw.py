"""Drawing one token per row from the policy, with random numbers that belong to the sample and not to the batch.

`generate` draws from one generator for the whole batch, so a sample changes with its neighbours, with the batch size
and with a resume. Here each row has its own stream: the number for step t is a hash of (seed of the row, t).
"""

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

_GOLDEN = -7046029254386353131  # splitmix64 (Steele et al. 2014), constants as signed 64-bit integers
_MIX_1 = -4658895280553007687
_MIX_2 = -7723592293110705685
_FEW = 64
"""Tokens that are looked at before a vocabulary is sorted for top_p."""
_ROUNDING = 1e-4
"""By how much a sum of chances may be off."""


def uniforms(seeds: Tensor, step: int) -> Tensor:
    """(B,) float64 in [0, 1): the step's number of each row's stream; `seeds` is (B,) int64."""
    offset = ((step + 1) * _GOLDEN + 2**63) % 2**64 - 2**63  # wrapped as int64 wraps
    z = seeds + offset
    z = (z ^ _shift(z, 30)) * _MIX_1
    z = (z ^ _shift(z, 27)) * _MIX_2
    return _shift(z ^ _shift(z, 31), 11).double() * 2.0**-53


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def draw(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """(B,) token ids by inversion of the cumulative distribution; `logits` (B, V) float32, `uniform` (B,).

    temperature 0 is greedy. top_p keeps the smallest set of tokens that holds at least top_p of the mass.
    """
    if temperature == 0:
        return logits.argmax(-1)
    probs = torch.softmax(logits / temperature, -1)
    order = None
    if top_p < 1:
        probs, order = _likeliest(probs, top_p)
        probs = probs.masked_fill(probs.cumsum(-1) - probs >= top_p, 0.0)
    cdf = probs.cumsum(-1)
    target = uniform.clamp(max=1 - 2.0**-23).to(cdf.dtype) * cdf[:, -1]  # below the total even after rounding
    index = torch.searchsorted(cdf, target.unsqueeze(-1), right=True)
    return (index if order is None else order.gather(-1, index)).squeeze(-1)


def _likeliest(probs: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Return chances and token ids, likeliest first: enough of them to hold top_p of every row's mass, (B, k).

    A few tokens nearly always do, and finding them takes a small part of sorting a vocabulary. Tokens of equal chances
    stand in the order of their ids either way, so that a row does not depend on its neighbours.
    """
    found = probs.topk(min(_FEW, probs.shape[-1]))
    above = found.values.masked_fill(found.values == found.values[:, -1:], 0.0)  # others may be as likely as the last
    if not bool((above.sum(-1) > top_p + _ROUNDING).all()):
        return probs.sort(dim=-1, descending=True, stable=True)
    ids = found.indices.sort(-1).values
    values, places = probs.gather(-1, ids).sort(dim=-1, descending=True, stable=True)
    return values, ids.gather(-1, places)


class SeededDraw(LogitsProcessor):
    """Leaves only the drawn token of each row, so that greedy `generate` emits it; keeps log-probability and entropy.

    After the run: `logprob` and `entropy` (B, T) in nats at temperature 1 over the full distribution.
    """

    def __init__(self, seeds: Tensor, temperature: float, top_p: float, first_step: int = 0) -> None:
        self.seeds, self.temperature, self.top_p, self.step = seeds, temperature, top_p, first_step
        self._logprob: list[Tensor] = []
        self._entropy: list[Tensor] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        log_probs = torch.log_softmax(scores.float(), -1)
        token = draw(log_probs, uniforms(self.seeds, self.step), self.temperature, self.top_p).unsqueeze(-1)
        self._logprob.append(log_probs.gather(-1, token).squeeze(-1))
        self._entropy.append(-(log_probs.exp() * log_probs).nan_to_num(0.0).sum(-1))
        self.step += 1
        return torch.full_like(scores, float("-inf")).scatter_(-1, token, 0.0)

    @property
    def logprob(self) -> Tensor:
        return torch.stack(self._logprob, -1)

    @property
    def entropy(self) -> Tensor:
        return torch.stack(self._entropy, -1)
