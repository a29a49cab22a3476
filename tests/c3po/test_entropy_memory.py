"""The entropy bonus with its gradient through the fused head: exact, and without logits of a whole row in memory.

On one GPU: `pytest -m gpu tests/c3po/test_entropy_memory.py` (32K tokens x 152K vocabulary).
"""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl.trainer.utils import add_fused_lm_head

from ringlite_cli.c3po.loss import token_losses


class States(nn.Module):
    """Stands in for the decoder, so that what is measured is the head: gives the hidden states that it was given."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = nn.Parameter(states)

    def forward(self, **_) -> object:
        return type("Output", (), {"last_hidden_state": self.states})()


def head(tokens: int, vocabulary: int, hidden: int, device: str, dtype: torch.dtype):
    """(a fused causal LM over free hidden states (1, T, H), labels (1, T))."""
    config = Qwen3Config(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=1, intermediate_size=8, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen3ForCausalLM(config).to(dtype)
        model.model = States(torch.randn(1, tokens, hidden, dtype=dtype))
        labels = torch.randint(0, vocabulary, (1, tokens))
    model.get_output_embeddings = lambda: model.lm_head  # transformers finds none without input embeddings
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model, labels


def backward(model, labels: Tensor, entropy_coef: float) -> Tensor:
    """The loss after its backward pass; gradients of head and states in `.grad`."""
    out = model(input_ids=labels, shift_labels=labels, fused_lm_head=True)
    advantages = torch.ones_like(out.log_probs)
    sums = token_losses(out.log_probs, advantages, labels != -100, entropy=out.entropy, entropy_coef=entropy_coef)
    (sums.loss / labels.numel()).backward()
    return sums.loss.detach()


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_the_bonus_has_the_gradient_of_the_whole_distribution_s_entropy():
    model, labels = head(300, 97, 16, "cpu", torch.float32)
    labels[0, 40:60] = -100
    loss = backward(model, labels, entropy_coef=0.7)
    states, weight = (x.detach().double().requires_grad_() for x in (model.model.states[0], model.lm_head.weight))
    logs = torch.log_softmax(states @ weight.T, -1)
    kept = labels[0] != -100
    chosen = logs.gather(1, labels[0].clamp(min=0)[:, None])[:, 0]
    ratio = torch.exp(chosen - chosen.detach())
    expected = (-ratio + 0.7 * (logs.exp() * logs).sum(-1))[kept].sum()
    (expected / labels.numel()).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(model.model.states.grad[0], states.grad.float(), atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(model.lm_head.weight.grad, weight.grad.float(), atol=1e-7, rtol=1e-4)


def test_no_tensor_grows_with_tokens_times_vocabulary(monkeypatch):
    """At a tenth of a percent of the real tiles: 64 tokens x 128 words of logits, however long row and vocabulary."""
    monkeypatch.setattr("trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE", 64)
    monkeypatch.setattr("trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE", 128)
    for tokens, vocabulary in ((256, 1001), (1024, 501)):
        model, labels = head(tokens, vocabulary, 8, "cpu", torch.float32)
        with Largest() as seen:
            backward(model, labels, entropy_coef=0.1)
        assert 0 < seen.elements <= 64 * 128


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_entropy_with_gradient_at_32k_tokens_and_152k_words_adds_less_than_a_gigabyte():
    tokens, vocabulary, hidden = 32_768, 151_936, 1024
    model, labels = head(tokens, vocabulary, hidden, "cuda", torch.bfloat16)
    peaks = {}
    for coef in (0.0, 5e-4, 0.0, 5e-4):  # the first two warm the kernels up
        model.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        backward(model, labels, coef)
        peaks[coef] = torch.cuda.max_memory_allocated()
    held = sum(2 * p.numel() * p.element_size() for p in model.parameters())  # weights, states and their gradients
    print(f"peak without {peaks[0.0] / 2**30:.2f} GiB, with {peaks[5e-4] / 2**30:.2f} GiB, held {held / 2**30:.2f} GiB")
    assert peaks[5e-4] - peaks[0.0] < 1e9
    assert peaks[5e-4] < held + 3e9  # all of it: bounded, where logits alone would take 20 GB in float32
