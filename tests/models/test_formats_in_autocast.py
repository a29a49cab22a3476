"""Weights that are said to be read in 16 bits: an update that these have no room for changes no pass under autocast."""

import pytest
import torch
from tiny_lm import MIXTURES, tiny_model

from ringlite_cli.models import register
from ringlite_cli.models.number_formats import in_autocast

register()
IDS = torch.arange(3, 43)[None]
SHAPES = {
    "rwkv": {"attention_hidden_size": 32},  # its mixes of two tokens are no matrices, though of three dimensions
    "mamba": {"expand": 2, "state_size": 8, "conv_kernel": 4},
    "gemma2": {"head_dim": 8},
    "phi": {},
    "bailing_moe": {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
}


@pytest.mark.parametrize("architecture", ["llama", *MIXTURES, *SHAPES])
def test_they_are_read_in_16_bits(architecture):
    model = tiny_model(architecture, **SHAPES.get(architecture, {}))
    named, names = dict(model.named_parameters()), set(in_autocast(model))

    def passed():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return model(input_ids=IDS, use_cache=False).logits

    with torch.no_grad():
        for parameter in named.values():
            parameter.copy_(parameter.to(torch.bfloat16))
        before = passed()
        for name in names:
            named[name].mul_(1 + 0.1 * torch.finfo(torch.bfloat16).eps)
    assert torch.equal(passed(), before)
    assert sum(named[name].numel() for name in names) > 0.5 * sum(p.numel() for n, p in named.items() if "layer" in n)
