"""GSPO and CISPO against formulas worked in float64, token by token, without tensors' help."""

import math

import pytest
import torch

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.loss import step_divisor, token_losses, token_weights
from ringlite_cli.c3po.packing import PackedSample, pack_row, sample_of_token
from ringlite_cli.recipe.algorithms import algorithms, facts

RATIOS = [[1.3, 0.9, 1.1], [0.7, 1.2], [1.0]]
"""pi / pi_old of the trained tokens of three responses, packed into one row."""
ADVANTAGES = [1.0, -2.0, 0.5]
OLD = -1.5


def packed(name, untrained=False, **bounds):
    """(sums, log-probs with gradient, divisor, mask); untrained: each response begins with a token of tool output."""
    ratios = [[9.0, *each] for each in RATIOS] if untrained else RATIOS
    flat = torch.tensor([[OLD + math.log(r) for each in ratios for r in each]], dtype=torch.float64)
    log_probs = flat.requires_grad_()
    lengths = [len(each) for each in RATIOS]
    sizes = torch.tensor([len(each) for each in ratios])
    spread = lambda values: torch.tensor([values], dtype=torch.float64).repeat_interleave(sizes, dim=1)  # noqa: E731
    mask = torch.tensor([[not untrained or place > 0 for each in ratios for place in range(len(each))]])
    sums = token_losses(
        log_probs,
        spread(ADVANTAGES),
        mask,
        entropy=torch.zeros_like(log_probs),
        algorithm=algorithm_of(name),
        sample=torch.arange(3).repeat_interleave(sizes)[None],
        old_log_probs=torch.full_like(log_probs, OLD).detach(),
        weights=spread(token_weights(name, lengths)),
        **bounds,
    )
    return sums, log_probs, step_divisor(name, budget=0, tokens=6, responses=3, max_completion_length=9), mask


@pytest.mark.parametrize("untrained", [False, True])
def test_gspo_clips_one_ratio_of_a_response_over_its_trained_tokens(untrained):
    """s = geometric means 1.0878, 0.9165, 1; in [0.95, 1.05]: terms -1.05, 1.9, -0.5; gradient s A / |y|."""
    sums, log_probs, divisor, mask = packed("gspo", untrained, epsilon_low=0.05, epsilon_high=0.05)
    s = [math.exp(sum(map(math.log, each)) / len(each)) for each in RATIOS]
    assert s == pytest.approx([1.0878, 0.9165, 1.0], abs=1e-4)
    terms = [-min(x * a, min(max(x, 0.95), 1.05) * a) for x, a in zip(s, ADVANTAGES, strict=True)]
    assert terms == pytest.approx([-1.05, 1.9, -0.5])
    assert divisor == 3
    assert (sums.loss / divisor).item() == pytest.approx(sum(terms) / 3, abs=1e-14)
    (sums.loss / divisor).backward()
    expected = [0.0] * 3 + [0.0] * 2 + [-0.5 / 3]  # the first two responses are clipped, on the side that pays
    assert log_probs.grad[mask].tolist() == pytest.approx(expected, abs=1e-14)
    assert log_probs.grad[~mask].abs().sum() == 0
    assert sums.clipped.item() == 5


def test_gspo_s_gradient_inside_the_range_is_the_ratio_shared_among_the_response_s_tokens():
    sums, log_probs, divisor, _ = packed("gspo", epsilon_low=0.5, epsilon_high=0.5)
    (sums.loss / divisor).backward()
    s = [math.exp(sum(map(math.log, each)) / len(each)) for each in RATIOS]
    expected = [-x * a / len(each) / 3 for x, a, each in zip(s, ADVANTAGES, RATIOS, strict=True) for _ in each]
    assert log_probs.grad[0].tolist() == pytest.approx(expected, abs=1e-14)
    assert sums.clipped.item() == 0


def test_gspo_of_one_token_a_response_is_grpo():
    """With |y| = 1 the sequence's ratio is the token's."""
    row = torch.tensor([[-1.0, -2.0, -0.5]], dtype=torch.float64)
    options = {
        "entropy": torch.zeros_like(row),
        "old_log_probs": row - torch.tensor([[0.3, -0.4, 0.0]]),
        "sample": torch.arange(3)[None],
    }
    advantages, mask = torch.tensor([[1.0, 1.0, -1.0]], dtype=torch.float64), torch.ones(1, 3, dtype=torch.bool)
    losses = [token_losses(row, advantages, mask, algorithm=algorithm_of(a), **options).loss for a in ("gspo", "grpo")]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-15)


def test_cispo_weighs_every_token_s_gradient_by_its_bounded_ratio():
    """Bound 1.15: weights 1.15, 0.9, 1.1, 0.7, 1.15, 1; the gradient of each log pi is -w A / 6, clipped or not."""
    sums, log_probs, divisor, _ = packed("cispo", epsilon_low=0.2, epsilon_high=1.15)
    weights = [min(r, 1.15) for each in RATIOS for r in each]
    spread = [a for a, each in zip(ADVANTAGES, RATIOS, strict=True) for _ in each]
    values = [
        -w * a * (OLD + math.log(r))
        for w, a, r in zip(weights, spread, [r for each in RATIOS for r in each], strict=True)
    ]
    assert divisor == 6
    assert (sums.loss / divisor).item() == pytest.approx(sum(values) / 6, abs=1e-14)
    (sums.loss / divisor).backward()
    expected = [-w * a / 6 for w, a in zip(weights, spread, strict=True)]
    assert log_probs.grad[0].tolist() == pytest.approx(expected, abs=1e-14)
    assert sums.clipped.item() == 2


def test_the_number_of_a_token_s_sample_follows_from_a_packed_row():
    samples = [
        PackedSample(0, [5, 6], [7, 8, 9], 1.0),
        PackedSample(1, [5], [7], -1.0),
        PackedSample(2, [5, 6, 7], [8, 9], 0.5),
    ]
    assert sample_of_token(pack_row(samples)).tolist() == [[0] * 5 + [1] * 2 + [2] * 5]
    assert sample_of_token(pack_row([])).tolist() == [[0, 0]]


def test_what_a_recipe_reads_from_the_sources_is_what_the_algorithms_are():
    for name in algorithms():
        value = algorithm_of(name)
        assert value.name == name
        assert facts(name).fault == ""
        assert (facts(name).has_budget, facts(name).trl_defaults) == (value.has_budget, dict(value.trl_defaults))
