"""Drawing a token: the right distribution, and random numbers that belong to the sample."""

import pytest
import torch

from ringlite_cli.samples import sample_seed
from ringlite_cli.sampling import draw as drawing
from ringlite_cli.sampling.draw import SeededDraw, draw, uniforms

LOGITS = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))


def seeds(count: int) -> torch.Tensor:
    return torch.tensor([sample_seed(7, "p", i) for i in range(count)])


def frequencies(temperature: float, top_p: float, count: int = 40_000) -> torch.Tensor:
    drawn = draw(LOGITS.expand(count, -1), uniforms(seeds(count), 0), temperature, top_p)
    return torch.bincount(drawn, minlength=4) / count


def test_uniforms_are_uniform_and_independent_of_their_neighbours() -> None:
    u = uniforms(seeds(20_000), 3)
    assert 0 <= u.min() < 0.001
    assert 0.999 < u.max() < 1
    assert u.mean().item() == pytest.approx(0.5, abs=0.01)
    assert u.var().item() == pytest.approx(1 / 12, abs=0.005)
    assert torch.corrcoef(torch.stack([u, uniforms(seeds(20_000), 4)]))[0, 1].abs() < 0.03
    assert torch.equal(uniforms(seeds(5)[2:4], 3), u[2:4])


def test_splitmix64_gives_its_published_first_number() -> None:
    """splitmix64 with state 0 gives 0xE220A8397B1DCDAF first; we keep its upper 53 bits."""
    assert uniforms(torch.tensor([0]), 0).item() == (0xE220A8397B1DCDAF >> 11) * 2.0**-53


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        (1.0, 0.7, [0.625, 0.375, 0.0, 0.0]),
        (0.5, 1.0, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (0.0, 1.0, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_tokens_come_with_their_probabilities(temperature: float, top_p: float, expected: list[float]) -> None:
    assert frequencies(temperature, top_p).tolist() == pytest.approx(expected, abs=0.01)


def test_a_token_without_mass_is_never_drawn() -> None:
    logits = torch.tensor([[0.0, float("-inf"), 0.0, float("-inf")]])
    for u in (0.0, 0.4999999, 0.5, 1 - 2.0**-53):
        assert draw(logits, torch.tensor([u], dtype=torch.float64), 1.0, 1.0).item() in (0, 2)


def test_the_processor_leaves_one_token_and_keeps_log_probability_and_entropy() -> None:
    processor = SeededDraw(seeds(1), temperature=0.7, top_p=0.9)
    only = processor(None, LOGITS + 3)
    token = only.argmax(-1).item()
    assert torch.isfinite(only).sum() == 1
    assert processor.logprob.item() == pytest.approx(LOGITS[0, token].item(), abs=1e-6)
    assert processor.entropy.item() == pytest.approx(-(LOGITS.exp() * LOGITS).sum().item(), abs=1e-6)


@pytest.mark.parametrize("steps", [0, 8])
@pytest.mark.parametrize("spread", [0.5, 6.0])
def test_top_p_draws_what_a_sorted_vocabulary_would(monkeypatch: pytest.MonkeyPatch, steps: int, spread: float) -> None:
    """steps: to a unit of logits (0: all numbers differ), for tokens of equal chances. spread: few tokens, or many."""
    logits = spread * torch.randn(2_000, 300, generator=torch.Generator().manual_seed(3))
    logits = (logits * steps).round() / steps if steps else logits
    sorted_all = []
    plain = torch.Tensor.sort
    monkeypatch.setattr(
        torch.Tensor, "sort", lambda self, *a, **k: sorted_all.append(self.shape) or plain(self, *a, **k)
    )
    found = draw(logits, uniforms(seeds(2_000), 0), 1.0, 0.9)
    assert ((2_000, 300) in sorted_all) == (spread == 0.5)
    monkeypatch.setattr(drawing, "_FEW", 1)
    assert torch.equal(found, draw(logits, uniforms(seeds(2_000), 0), 1.0, 0.9))
    assert sorted_all[-1] == (2_000, 300)
