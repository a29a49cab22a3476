"""An adapter beside weights in 16 bits: what is held in which format, the same log-probabilities, frozen weights."""

from functools import partial

import pytest
import torch
from rl_runs import rl, weights
from safetensors.torch import load_file
from tiny_lm import save_policy

from ringlite_cli.train.base_model import frozen_dtype
from ringlite_cli.train.rl.trainer import C3POTrainer

PLAIN = {"router_balance_coef": 0.0, "router_z_loss_coef": 0.0}


def save_in(folder, architecture, dtype):
    """A policy in a number format of its own."""
    from transformers import AutoModelForCausalLM

    save_policy(folder, architecture)
    AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
    return folder


@pytest.fixture
def seen(monkeypatch):
    """Number formats of what each trainer holds when it starts to train: of adapters, and of all else."""
    formats = []
    plain = C3POTrainer.train

    def train(self, *args, **kwargs):
        named = list(self.model.named_parameters())
        formats.append(tuple({str(p.dtype) for n, p in named if ("lora_" in n) is kind} for kind in (True, False)))
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(C3POTrainer, "train", train)
    return formats


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
def test_frozen_weights_are_held_as_they_are_written_and_an_adapter_in_float32(tmp_path, seen, architecture):
    policy = save_in(tmp_path / "policy", architecture, torch.bfloat16)
    run = partial(rl, policy, lora={"r": 4}, dtype="bfloat16", steps=2, trl={"beta": 0.01, "learning_rate": 0.05})
    result = run(tmp_path / "run", **PLAIN)
    assert seen == [({"torch.float32"}, {"torch.bfloat16"})]
    before, after = load_file(policy / "model.safetensors"), weights(result.policy)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("self_attn" in name or architecture == "llama" for name in changed)  # no expert and no router
    assert not any("norm" in name or "embed" in name for name in changed)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "lora"), [("float32", {"r": 4}), ("bfloat16", None)])
def test_all_else_is_held_in_float32(tmp_path, seen, dtype, lora):
    policy = save_in(tmp_path / "policy", "llama", getattr(torch, dtype))
    rl(policy, tmp_path / "run", lora=lora, dtype=dtype, steps=1, **PLAIN)
    assert seen[0][1] == {"torch.float32"}


def test_weights_that_bfloat16_would_round_are_held_in_float32(tmp_path):
    formats = {}
    for dtype in ("float16", "bfloat16", "float32"):
        folder = save_in(tmp_path / dtype, "llama", getattr(torch, dtype))
        formats[dtype] = frozen_dtype(folder, "float32" if dtype == "float32" else "bfloat16")
    assert formats == {"float16": "float32", "bfloat16": "bfloat16", "float32": "float32"}
