"""The head in float32: under bfloat16 autocast TRL's own rounds logits, and log-probabilities with them."""

import pytest
import torch
from tiny_lm import tiny_model
from trl.kernels import ChunkedLogProbFunction as PLAIN
from trl.trainer import grpo_trainer, sft_trainer, utils
from trl.trainer.utils import add_fused_lm_head

from ringlite_cli.c3po.entropy import head_logits
from ringlite_cli.train import cpu_head
from ringlite_cli.train import float32_head as heads
from ringlite_cli.train.float32_head import add_head, float32_head

IDS = (torch.arange(64) * 7 % 50)[None]


def scored(add, autocast: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropy by the fused head; log-probabilities by a float32 product of the same states."""
    model = tiny_model("qwen3")
    with torch.no_grad():
        model.lm_head.weight.mul_(10)  # logits of several tens, as trained models have
    add(model, temperature=1.0, outputs=("log_probs", "entropy"))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = model(input_ids=IDS, labels=IDS, fused_lm_head=True)
        states = model.model(input_ids=IDS).last_hidden_state
    logits = states.float() @ model.lm_head.weight.float().t()
    exact = torch.log_softmax(logits, -1)[:, :-1].gather(-1, IDS[:, 1:, None]).squeeze(-1)
    return out.log_probs.detach(), out.entropy.detach(), exact.detach()


@pytest.mark.parametrize("autocast", [True, False])
def test_log_probabilities_are_those_of_a_float32_product(autocast: bool) -> None:
    log_probs, entropy, exact = scored(add_head, autocast)
    assert log_probs.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(log_probs, exact, atol=1e-5, rtol=0)


def test_trls_own_head_is_off_by_hundredths_of_a_nat() -> None:
    log_probs, _, exact = scored(add_fused_lm_head, autocast=True)
    assert (log_probs - exact).abs().mean() > 0.01


def test_the_gradient_comes_from_float32_logits() -> None:
    found = []
    for autocast in (True, False):
        model = tiny_model("qwen3")
        add_head(model, temperature=1.0)
        states = torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(1))
        model.model.forward = lambda *_, states=states, **__: _Output(states)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = model(input_ids=IDS[:, :8], labels=IDS[:, :8], fused_lm_head=True).log_probs.sum()
        loss.backward()
        found.append(model.lm_head.weight.grad)
    torch.testing.assert_close(*found, atol=0, rtol=0)


class _Output:
    def __init__(self, states: torch.Tensor) -> None:
        self.last_hidden_state, self.router_logits = states, None


@pytest.mark.parametrize("module", [grpo_trainer, sft_trainer])
def test_only_trainers_of_the_block_get_it(module) -> None:
    with float32_head(module.__name__):
        assert module.add_fused_lm_head is add_head
    assert module.add_fused_lm_head is add_fused_lm_head


def test_the_entropy_of_saved_responses_is_of_float32_logits_too() -> None:
    model = tiny_model("qwen3").bfloat16()
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(1)).bfloat16()
    logits = head_logits(model, states)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, states.float() @ model.lm_head.weight.float().t(), atol=1e-6, rtol=0)


OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def by_head(add, labels: torch.Tensor, temperature: float = 0.7, bias: bool = False) -> tuple[list, list]:
    """What the fused head gives for labels, and the gradients of a loss of log-probabilities and entropies."""
    model = tiny_model("qwen3")
    if bias:
        model.lm_head.bias = torch.nn.Parameter(torch.linspace(-1, 1, model.lm_head.out_features))
    add(model, temperature=temperature, outputs=OUTPUTS)
    out = model(input_ids=IDS, shift_labels=labels, fused_lm_head=True)
    (out.log_probs.sum() + 0.3 * out.entropy.square().sum()).backward()
    return [getattr(out, name) for name in OUTPUTS], [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("rows", [1, 5, 1000])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trained", [0, 1, 40, 64])
def test_on_a_cpu_all_numbers_and_gradients_are_those_of_trls_head(monkeypatch, rows, bias, trained) -> None:
    labels = torch.where(torch.arange(64) % 64 < trained, IDS.roll(-1), -100)
    with monkeypatch.context() as patch:
        patch.setattr(utils, "_ChunkedLogProbFunction", PLAIN)
        patch.setattr(utils, "_use_triton", lambda device: False)
        expected = by_head(add_fused_lm_head, labels, bias=bias)
    monkeypatch.setattr(cpu_head, "LEAST_ROWS", rows)
    monkeypatch.setattr(cpu_head, "TILE", 1)
    with float32_head("trl.trainer.sft_trainer"):
        found = by_head(add_head, labels, bias=bias)
    assert len(found[1]) == len(expected[1]) > 5
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_on_a_cpu_positions_without_a_label_are_left_out(monkeypatch) -> None:
    seen = []
    plain = cpu_head.score
    monkeypatch.setattr(
        heads, "score", lambda ctx, hidden, *rest: seen.append(len(hidden)) or plain(ctx, hidden, *rest)
    )
    with float32_head("trl.trainer.sft_trainer"):
        by_head(add_head, torch.where(torch.arange(64) < 50, -100, IDS.roll(-1)))
    assert seen == [14]
