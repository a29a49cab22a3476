"""Trained weights in a folder of 16 bits: as passes computed with them; what was read in float32 stays in the mean."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from tiny_lm import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM

from ringlite_cli.models import register
from ringlite_cli.models.number_formats import learned_finely
from ringlite_cli.train.base_model import save_plain

register()
FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def accelerator(precision, kind=DistributedType.NO):
    return SimpleNamespace(mixed_precision=precision, distributed_type=kind)


def trained(dtype):
    """A model whose weights were numbers of a format before updates of a tenth of a gap."""
    model = tiny_model("llama", tie_word_embeddings=False)
    start = {name: p.detach().to(dtype).float() for name, p in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(start[name] * (1 + 0.1 * torch.finfo(dtype).eps))
    return model, start


def share_kept(written, start, trained):
    moved = (trained.detach() - start) * start.sign()
    return float(((written.float() - start) * start.sign()).sum() / moved.sum())


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_passes_in_float32_learned_is_written_in_16_bits(tmp_path, dtype):
    """The nearest numbers were the folder that training began with."""
    model, start = trained(FORMATS[dtype])
    named = dict(model.named_parameters())
    save_plain(model, tiny_tokenizer(), tmp_path, dtype, by_chance=learned_finely(model, accelerator("no")))
    written = dict(AutoModelForCausalLM.from_pretrained(tmp_path).named_parameters())
    for name in ("lm_head.weight", "model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"):
        assert written[name].dtype == FORMATS[dtype]
        assert 0.75 < share_kept(written[name], start[name], named[name]) < 1.25, name
        save_plain(model, tiny_tokenizer(), tmp_path / "nearest", dtype)
    nearest = dict(AutoModelForCausalLM.from_pretrained(tmp_path / "nearest").named_parameters())
    assert all(torch.equal(nearest[name].float(), weight) for name, weight in start.items())


def test_under_autocast_layers_are_written_as_they_were_computed_and_both_ends_in_the_mean(tmp_path):
    model, start = trained(torch.bfloat16)
    named = dict(model.named_parameters())
    save_plain(model, tiny_tokenizer(), tmp_path, "bfloat16", by_chance=learned_finely(model, accelerator("bf16")))
    written = dict(AutoModelForCausalLM.from_pretrained(tmp_path).named_parameters())
    for name, weight in written.items():
        if name in ("lm_head.weight", "model.embed_tokens.weight"):
            assert 0.75 < share_kept(weight, start[name], named[name]) < 1.25, name
        else:
            assert torch.equal(weight.float(), start[name]), name


def test_with_fsdp2_all_is_written_as_it_was_gathered():
    model, _ = trained(torch.bfloat16)
    assert learned_finely(model, accelerator("bf16", DistributedType.FSDP)) == set()
    assert "lm_head.weight" in learned_finely(model, accelerator("no", DistributedType.FSDP))
