import math

import pytest
import torch
from tiny_lm import tiny_model

from ringlite_cli.c3po import entropy as module
from ringlite_cli.c3po.entropy import check_head_is_linear, policy_entropy
from ringlite_cli.errors import UserError

SAMPLES = [([3, 4], [5, 6, 7]), ([9], list(range(10, 40))), ([1, 2, 3], [4])]


def reference(model, prompt, response, temperature=1.0):
    """Full distributions in float64, one sample at a time."""
    model.set_experts_implementation("eager")  # the grouped kernel has no float64
    model = model.double()
    logits = model(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0].double() / temperature
    log_p = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
    return -(log_p.exp() * log_p).sum(-1).mean().item(), log_p.gather(1, torch.tensor(response)[:, None])[:, 0].tolist()


@pytest.mark.parametrize("architecture", ["qwen3_moe", "ernie4_5_moe", "llama"])
@pytest.mark.parametrize("row_tokens", [8, 1000])
@torch.no_grad()
def test_it_equals_a_float64_reference(architecture, row_tokens):
    measured = policy_entropy(tiny_model(architecture), SAMPLES, row_tokens)
    for (prompt, response), result in zip(SAMPLES, measured, strict=True):
        entropy, log_probs = reference(tiny_model(architecture), prompt, response)
        assert result.entropy == pytest.approx(entropy, abs=1e-5)
        assert result.log_probs == pytest.approx(log_probs, abs=1e-5)


@torch.no_grad()
def test_temperature_and_tiles(monkeypatch):
    monkeypatch.setattr(module, "TILE_FLOATS", 64 * 3)  # three tokens at a time
    (result,) = policy_entropy(tiny_model("llama"), SAMPLES[1:2], 100, temperature=0.7)
    entropy, log_probs = reference(tiny_model("llama"), *SAMPLES[1], temperature=0.7)
    assert result.entropy == pytest.approx(entropy, abs=1e-5)
    assert result.log_probs == pytest.approx(log_probs, abs=1e-5)


def test_an_uninformed_policy_has_the_entropy_of_its_vocabulary():
    model = tiny_model("llama")
    for p in model.parameters():
        p.data.zero_()
    assert [r.entropy for r in policy_entropy(model, SAMPLES, 100)] == pytest.approx([math.log(64)] * 3)


def test_an_empty_response_has_no_entropy():
    empty, full = policy_entropy(tiny_model("llama"), [([1, 2], []), ([1], [2])], 100)
    assert math.isnan(empty.entropy)
    assert empty.log_probs == []
    assert full.entropy > 0


def test_no_samples():
    assert policy_entropy(tiny_model("llama"), [], 100) == []


def test_a_soft_cap_is_known_and_another_scaling_is_refused():
    check_head_is_linear(tiny_model("gemma2", head_dim=8, final_logit_softcapping=2.0))
    with pytest.raises(UserError, match="CohereForCausalLM computes its logits by more than a linear head"):
        check_head_is_linear(tiny_model("cohere", logit_scale=0.0625))
