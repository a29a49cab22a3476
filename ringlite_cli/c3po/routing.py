"""How a mixture's routers score their experts and choose among them, found out by trial.

Scores are a softmax of the router's logits (Ling-lite, qwen3_moe ...) or sigmoids of them (Ling 2.0, glm4_moe,
deepseek_v3 ...). A bias may be added for the choice alone. Experts may stand in groups, of which a token keeps those
with the largest sums of their two best scores (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """How experts are chosen. groups: blocks that the experts stand in; kept: those of them that a token keeps."""

    top_k: int
    scores: Literal["softmax", "sigmoid"] = "softmax"
    groups: int = 1
    kept: int = 1

    def score(self, logits: Tensor) -> Tensor:
        """(M, Ne) logits -> (M, Ne) scores in float32."""
        logits = logits.float()
        return torch.softmax(logits, dim=-1) if self.scores == "softmax" else torch.sigmoid(logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(M, Ne) logits -> (M, Ne) scores that sum to 1 for each token."""
        scores = self.score(logits)
        return scores if self.scores == "softmax" else scores / (scores.sum(-1, keepdim=True) + 1e-20)

    @torch.no_grad()
    def chosen(self, logits: Tensor, bias: Tensor | None = None) -> Tensor:
        """(M, k) indices of the experts that a token is sent to. bias: (Ne,), added to the scores for the choice."""
        scores = self.score(logits)
        if bias is not None:
            scores = scores + bias
        if self.groups > 1:
            blocks = scores.unflatten(-1, (self.groups, -1))
            best = blocks.topk(2, dim=-1).values.sum(-1).topk(self.kept, dim=-1).indices
            dropped = torch.ones_like(blocks[..., 0], dtype=torch.bool).scatter_(-1, best, False)
            scores = blocks.masked_fill(dropped[..., None], -torch.inf).flatten(-2)
        return scores.topk(self.top_k, dim=-1).indices


@dataclass(frozen=True)
class Choice:
    """What one router said of a pass: its logits (M, Ne), the experts (M, k), and their weights (M, k) if it told."""

    logits: Tensor
    experts: Tensor
    weights: Tensor | None = None
    bias: Tensor | None = None


def find_routing(config: Any, top_k: int, choices: Sequence[Choice]) -> Routing | None:
    """Return the rule by which all `choices` were made, or None where it is none that is known here.

    config: the text model's, for the number of groups. Where two rules choose alike, the experts' weights decide.
    Without choices, the softmax that most mixtures have.
    """
    if not choices:
        return Routing(top_k)
    alike = [rule for rule in _candidates(config, top_k) if all(_chose(rule, choice) for choice in choices)]
    weighted = [rule for rule in alike if all(_weighted(rule, choice) for choice in choices)]
    return next(iter([*weighted, *alike]), None)


def _candidates(config: Any, top_k: int) -> list[Routing]:
    groups, kept = getattr(config, "n_group", None) or 1, getattr(config, "topk_group", None) or 1
    rules = [Routing(top_k), Routing(top_k, "sigmoid")]
    if groups > 1 and kept <= groups:
        rules = [Routing(top_k, "sigmoid", groups, kept), Routing(top_k, "softmax", groups, kept), *rules]
    return rules


def _chose(rule: Routing, choice: Choice) -> bool:
    experts = choice.logits.shape[-1]
    if experts % rule.groups or (rule.groups > 1 and experts // rule.groups < 2):
        return False
    expected = rule.chosen(choice.logits, choice.bias)
    return torch.equal(choice.experts.sort(dim=-1).values, expected.sort(dim=-1).values)


def _weighted(rule: Routing, choice: Choice) -> bool:
    if choice.weights is None or choice.weights.shape != choice.experts.shape:
        return True
    shares = rule.score(choice.logits).gather(-1, choice.experts)
    weights = choice.weights.float()
    if rule.top_k == 1:
        return torch.allclose(weights, shares, rtol=1e-2, atol=1e-4)
    return torch.allclose(
        weights / weights.sum(-1, keepdim=True), shares / shares.sum(-1, keepdim=True), rtol=1e-2, atol=1e-4
    )
