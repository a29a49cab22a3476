"""The head in float32: under bfloat16 autocast TRL's own rounds logits, and log-probabilities with them."""

import pytest
import torch
from tiny_lm import tiny_model
from trl.trainer import grpo_trainer, sft_trainer
from trl.trainer.utils import add_fused_lm_head

from ringlite_cli.c3po.entropy import head_logits
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
