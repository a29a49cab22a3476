"""Each remedy against a reference in float64, written from its definition one token at a time."""

import math
import random

import pytest
import torch

from ringlite_cli.c3po.loss import token_losses
from ringlite_cli.c3po.mismatch import BINS, Remedy
from ringlite_cli.c3po.mismatches import rule_of
from ringlite_cli.recipe.mismatch import Mismatch, mismatch_rules


def binary(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def reference(rule: str, old: list[float], engine: list[float], sample: list[int], mask: list[bool]) -> list[float]:
    """The weight of each token, with default numbers, or those that the tests give."""
    k = [math.exp(a - b) for a, b in zip(old, engine, strict=True)]
    if rule == "none":
        return [1.0] * len(k)
    if rule == "truncate":
        return [min(each, 2.0) for each in k]
    if rule == "icepop":
        return [each if 0.5 <= each <= 5.0 else 0.0 for each in k]
    if rule == "kpop":
        pairs = [(math.exp(a), math.exp(b)) for a, b in zip(old, engine, strict=True)]
        return [x if max(binary(p, q), binary(q, p)) <= 0.05 else 0.0 for x, (p, q) in zip(k, pairs, strict=True)]
    means = {}
    for one in set(sample):
        of_it = [math.log(x) for x, s, m in zip(k, sample, mask, strict=True) if s == one and m]
        means[one] = math.exp(sum(of_it) / max(len(of_it), 1))
    return [1.0 if 0.99 <= means[s] <= 1.01 else 0.0 for s in sample]


def row(seed: int) -> dict[str, list]:
    """Three samples of a row: one close to its engine, one far from it, one with extremes."""
    rng = random.Random(seed)
    spread = [0.005, 0.3, 2.5]
    sample = [i for i in range(3) for _ in range(20)]
    old = [-rng.uniform(0.001, 3.0) for _ in sample]
    engine = [min(-1e-4, a + rng.gauss(0, spread[s])) for a, s in zip(old, sample, strict=True)]
    mask = [rng.random() < 0.8 for _ in sample]
    advantages = [rng.choice([-1.3, 0.7]) for _ in range(3)]
    return {"old": old, "engine": engine, "sample": sample, "mask": mask, "advantages": [advantages[s] for s in sample]}


def tensor(values: list) -> torch.Tensor:
    return torch.tensor([values], dtype=None if isinstance(values[0], bool | int) else torch.float64)


@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("rule", mismatch_rules())
def test_a_token_s_loss_is_its_weight_times_its_clipped_term(rule: str, off_policy: bool) -> None:
    """r = pi / pi_old is clipped and has the gradient; k = pi_old / pi_engine is a constant; neither is used twice."""
    for seed in range(5):
        made = row(seed)
        log_probs = tensor(made["old"]) + (0.4 * torch.randn(1, 60, dtype=torch.float64) if off_policy else 0.0)
        log_probs.requires_grad_()
        old = tensor(made["old"]) if off_policy else None
        mask, advantages = tensor(made["mask"]), tensor(made["advantages"])
        remedy = Remedy(rule_of(rule), Mismatch(rule=rule, divergence=0.05))
        sums = token_losses(
            log_probs, advantages, mask, entropy=torch.zeros_like(log_probs), sample=tensor(made["sample"]),
            old_log_probs=old, sampling_log_probs=tensor(made["engine"]), remedy=remedy,
        )  # fmt: skip
        sums.loss.backward()
        weights = reference(rule, made["old"], made["engine"], made["sample"], made["mask"])
        expected, gradient, masked = 0.0, [], 0
        for i, (weight, kept, advantage) in enumerate(zip(weights, made["mask"], made["advantages"], strict=True)):
            ratio = math.exp(log_probs[0, i].item() - made["old"][i])
            clipped = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            expected -= weight * clipped * kept
            moves = clipped == ratio * advantage
            gradient.append(-weight * ratio * advantage * kept * moves)
            masked += kept and weight == 0
        assert sums.loss.item() == pytest.approx(expected, rel=1e-9)
        assert log_probs.grad[0].tolist() == pytest.approx(gradient, rel=1e-9, abs=1e-12)
        assert sums.masked.item() == masked
        kept_weights = [w for w, kept in zip(weights, made["mask"], strict=True) if kept]
        assert sums.weight.item() == pytest.approx(sum(kept_weights))
        assert sums.weight_squared.item() == pytest.approx(sum(w * w for w in kept_weights))


@pytest.mark.parametrize("rule", mismatch_rules())
def test_where_the_engine_tells_nothing_a_token_weighs_one(rule: str) -> None:
    log_probs, mask = torch.full((1, 4), -1.0), torch.ones(1, 4, dtype=torch.bool)
    remedy = Remedy(rule_of(rule), Mismatch(rule=rule, divergence=0.05))
    for sampled in (None, torch.full((1, 4), float("nan"))):
        sums = token_losses(
            log_probs, torch.ones(1, 4), mask, entropy=torch.zeros(1, 4), sampling_log_probs=sampled, remedy=remedy
        )
        assert (sums.loss.item(), sums.masked.item(), sums.weight.item()) == (-4.0, 0.0, 4.0)


def test_no_number_is_made_of_tokens_that_one_side_finds_impossible() -> None:
    log_probs = torch.tensor([[-80.0, 0.0, -1e-9, -40.0]]).requires_grad_()
    engine = torch.tensor([[0.0, -80.0, -1e-9, float("-inf")]])
    for rule in ("icepop", "kpop", "truncate", "geometric"):
        sums = token_losses(
            log_probs, torch.ones(1, 4), torch.ones(1, 4, dtype=torch.bool), entropy=torch.zeros(1, 4),
            sampling_log_probs=engine, remedy=Remedy(rule_of(rule), Mismatch(rule=rule, divergence=0.05)),
        )  # fmt: skip
        assert math.isfinite(sums.loss.item()), rule


def test_kpop_masks_the_share_of_tokens_that_it_is_calibrated_to() -> None:
    """The first step masks none; every later one takes the bound of the step before; a checkpoint keeps it."""
    remedy = Remedy(rule_of("kpop"), Mismatch(rule="kpop", masked_share=0.3))
    assert remedy.learns
    generator = torch.Generator().manual_seed(3)
    shares = []
    for _ in range(3):
        old = -3 * torch.rand(1, 20_000, generator=generator)
        log_k = 0.03 * torch.randn(1, 20_000, generator=generator)
        drawn = remedy.drawn(log_k, old, torch.ones_like(old, dtype=torch.bool), torch.zeros_like(old).long())
        shares.append((remedy.rule.weigh(drawn) == 0).float().mean().item())
        remedy.learn(BINS.counts(remedy.rule.calibrated_by(drawn).flatten()))
    assert shares[0] == 0
    assert shares[1:] == pytest.approx([0.3, 0.3], abs=0.02)
    other = Remedy(rule_of("kpop"), Mismatch(rule="kpop", masked_share=0.3))
    other.restore(remedy.state())
    assert other.bound == remedy.bound
    assert not Remedy(rule_of("kpop"), Mismatch(rule="kpop", divergence=0.1)).learns


def test_quantiles_of_counts_are_those_of_the_values_to_a_bin() -> None:
    values = torch.rand(5000, generator=torch.Generator().manual_seed(1)) * 0.2 + 1e-4
    parts = BINS.counts(values[:1234]) + BINS.counts(values[1234:])
    for share in (0.1, 0.5, 0.9, 0.99):
        assert BINS.quantile(parts, share) == pytest.approx(values.quantile(share).item(), rel=0.03)
    assert BINS.quantile(torch.zeros(BINS.count, dtype=torch.long), 0.5) == 0.0
