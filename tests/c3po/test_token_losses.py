"""Golden values worked by hand, and the gradient's conventions."""

import math

import pytest
import torch

from ringlite_cli.c3po.loss import step_divisor, token_losses, token_weights
from ringlite_cli.c3po.mismatch import Remedy
from ringlite_cli.c3po.mismatches import rule_of
from ringlite_cli.recipe.mismatch import Mismatch


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def losses(log_probs, advantages, mask=None, **options):
    mask = torch.ones_like(log_probs, dtype=torch.bool) if mask is None else mask
    options.setdefault("entropy", torch.zeros_like(log_probs))
    return token_losses(log_probs, advantages, mask, **options)


def test_on_policy_the_loss_is_minus_the_advantage_and_the_gradient_too():
    log_probs = row(-1.0, -2.0, -3.0).requires_grad_()
    sums = losses(log_probs, row(1.0, -2.0, 0.5))
    assert sums.loss.item() == pytest.approx(0.5)
    sums.loss.backward()
    assert log_probs.grad.tolist() == [[-1.0, 2.0, -0.5]]


def test_the_ratio_is_clipped_on_the_side_that_pays():
    """Ratios 1.5, 0.5, 1.5, 0.5 with A = 1, 1, -1, -1 and epsilon 0.2: -min(rA, clip(r)A) = -1.2, -0.5, 1.5, 0.8."""
    old = row(-1.0, -1.0, -1.0, -1.0)
    log_probs = (old + row(*map(math.log, (1.5, 0.5, 1.5, 0.5)))).requires_grad_()
    sums = losses(log_probs, row(1.0, 1.0, -1.0, -1.0), old_log_probs=old)
    assert sums.loss.item() == pytest.approx(-1.2 - 0.5 + 1.5 + 0.8)
    assert sums.clipped.item() == 2
    sums.loss.backward()
    assert log_probs.grad[0].tolist() == pytest.approx([0.0, -0.5, 1.5, 0.0])


def test_clip_higher_moves_the_upper_bound_alone():
    old = row(-1.0, -1.0)
    log_probs = old + row(math.log(1.5), math.log(0.5))
    sums = losses(log_probs, row(1.0, -1.0), old_log_probs=old, epsilon_low=0.2, epsilon_high=0.28)
    assert sums.loss.item() == pytest.approx(-1.28 + 0.8)


def test_the_kl_term_is_k3_without_a_ratio_in_front():
    """d = ref - policy = ln 2 for one token: k3 = 2 - ln 2 - 1; its gradient is beta * (1 - e^d) = -beta."""
    log_probs = row(-2.0).requires_grad_()
    sums = losses(log_probs, row(0.0), ref_log_probs=log_probs.detach() + math.log(2), kl_coef=0.1)
    assert sums.kl.item() == pytest.approx(1 - math.log(2))
    assert sums.loss.item() == pytest.approx(0.1 * (1 - math.log(2)))
    sums.loss.backward()
    assert log_probs.grad.item() == pytest.approx(0.1 * (1 - 2))


def test_the_entropy_bonus_lowers_the_loss_and_has_a_gradient():
    entropy = row(0.5, 1.5).requires_grad_()
    sums = losses(row(-1.0, -1.0), row(0.0, 0.0), entropy=entropy, entropy_coef=0.1)
    assert sums.loss.item() == pytest.approx(-0.2)
    sums.loss.backward()
    assert entropy.grad[0].tolist() == pytest.approx([-0.1, -0.1])


def test_what_is_not_trained_counts_nowhere_even_where_it_is_not_finite():
    log_probs = row(-1.0, float("-inf"), -1.0).requires_grad_()
    mask = torch.tensor([[True, False, True]])
    sums = losses(log_probs, row(1.0, 1.0, 1.0), mask)
    assert sums.loss.item() == pytest.approx(-2.0)
    assert sums.tokens.item() == 2


def test_the_remedy_weighs_the_surrogate_and_leaves_kl_alone():
    """Engine log-probs 0.5 below and above: exp(0.5) is cut to 1.2, exp(-0.5) stays, NaN weighs 1."""
    log_probs, advantages = torch.tensor([[-1.0, -1.0, -1.0]]), torch.ones(1, 3)
    sampled = torch.tensor([[-1.5, -0.5, float("nan")]])
    options = {"entropy": torch.zeros(1, 3), "sampling_log_probs": sampled}
    options |= {"ref_log_probs": log_probs - math.log(2), "kl_coef": 0.1}
    mask = torch.ones(1, 3, dtype=torch.bool)
    plain = token_losses(log_probs, advantages, mask, **options)
    remedy = Remedy(rule_of("truncate"), Mismatch(rule="truncate", cap=1.2))
    corrected = token_losses(log_probs, advantages, mask, **options, remedy=remedy)
    kl = 3 * 0.1 * (0.5 + math.log(2) - 1)
    assert plain.loss.item() == pytest.approx(kl - 3.0)
    assert corrected.loss.item() == pytest.approx(kl - (1.2 + math.exp(-0.5) + 1.0))
    assert corrected.mismatch.item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("c3po", 6 / 10), ("dapo", 6 / 6), ("grpo", (2 / 2 + 4 / 4) / 2), ("dr_grpo", 6 / (2 * 5))],
)
def test_each_algorithm_s_divisor(algorithm, expected):
    """Two responses of 2 and 4 tokens, loss 1 each; budget 10, at most 5 tokens a response."""
    weights = token_weights(algorithm, [2, 4])
    divisor = step_divisor(algorithm, budget=10, tokens=6, responses=2, max_completion_length=5)
    assert (2 * weights[0] + 4 * weights[1]) / divisor == pytest.approx(expected)
