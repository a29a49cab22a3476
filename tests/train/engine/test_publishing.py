"""Weights on their way to an engine: those that passes compute with; and what is told where it does not take them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_lm import MIXTURES, tiny_model

from ringlite_cli.errors import WorkFailed
from ringlite_cli.models import register
from ringlite_cli.train.engine import publishing
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.engine.weights import computed_weights

register()
IDS = torch.arange(3, 43).view(2, 20)


def test_an_engine_on_a_cpu_that_refuses_weights_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's experts, spread over two ranks of a CPU, do so."""
    given: list[Path] = []

    def refuse(engine: Any, folder: Any) -> None:
        given.append(Path(folder))
        raise RuntimeError("The size of tensor a (64) must match the size of tensor b (16)")

    monkeypatch.setattr(publishing, "reload_on_cpu", refuse)
    made = object.__new__(publishing.PublishingGeneration)
    made.accelerator = SimpleNamespace(unwrap_model=lambda model: model, mixed_precision="no")
    made._dist, made.model, made.llm, made._stats = SimpleNamespace(is_fsdp=False), tiny_model("llama"), None, {}
    made.watch = Watch()
    with pytest.raises(WorkFailed, match=r"does not take the trainer's weights \(The size.*use_vllm: false"):
        made._reload()
    assert not given[0].exists()


def updated(architecture: str) -> Any:
    """A model whose weights were numbers of bfloat16 before an update of a tenth of a gap."""
    model = tiny_model(architecture, tie_word_embeddings=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).float() * (1 + 0.1 * torch.finfo(torch.bfloat16).eps))
    return model


def sent(model: Any, engine: torch.dtype | None, *, autocast: bool = True) -> dict[str, torch.Tensor]:
    named = ((name, parameter.detach()) for name, parameter in model.named_parameters())
    return dict(computed_weights(model, named, engine, autocast=autocast))


@pytest.mark.parametrize("engine", [None, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["llama", "bailing_moe", *MIXTURES])
def test_a_fine_engine_gets_what_passes_under_autocast_see(architecture: str, engine: torch.dtype | None) -> None:
    """It drew from another policy, by half a nat a token in layers of the width of Ling-lite."""
    model = updated(architecture)
    before = {name: p.detach().to(torch.bfloat16) for name, p in model.named_parameters()}
    found = sent(model, engine)
    assert found.keys() == before.keys()
    ends = {name for name in found if "embed" in name or "lm_head" in name}
    assert len(ends) == 2
    coarse = {name for name in found if name.endswith(("proj", "weight", "proj.bias")) and "norm" not in name} - ends
    coarse -= {name for name in coarse if name.endswith(".gate.weight")}  # routers, which ernie computes in float32
    for name, tensor in found.items():
        if name in coarse:
            assert torch.equal(tensor, before[name]), name
        elif name not in ends or engine in (None, torch.float32):
            assert torch.equal(tensor, dict(model.named_parameters())[name]), name
        else:
            assert tensor.dtype == engine
    with torch.autocast("cpu", torch.bfloat16):
        expected = model.model(input_ids=IDS).last_hidden_state
        if engine in (None, torch.float32):
            model.load_state_dict(found, strict=False)
            assert torch.equal(model.model(input_ids=IDS).last_hidden_state, expected)


@pytest.mark.parametrize("autocast", [True, False])
def test_what_is_computed_in_float32_reaches_an_engine_of_16_bits_in_the_mean(autocast: bool) -> None:
    model = updated("llama")
    found = sent(model, torch.bfloat16, autocast=autocast)
    layers = [] if autocast else ["model.layers.0.mlp.up_proj.weight"]
    for name in ("lm_head.weight", "model.embed_tokens.weight", *layers):
        exact = dict(model.named_parameters())[name].detach()
        start = (exact / (1 + 0.1 * torch.finfo(torch.bfloat16).eps)).to(torch.bfloat16).float()
        moved = ((found[name].float() - start) * start.sign()).sum() / ((exact - start) * start.sign()).sum()
        assert 0.8 < moved < 1.2, name  # the nearest numbers: 0


def test_an_engine_on_a_cpu_is_given_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(
        publishing, "reload_on_cpu", lambda _, folder: given.update(load_file(Path(folder) / "model.safetensors"))
    )
    made: Any = object.__new__(publishing.PublishingGeneration)
    made.accelerator = SimpleNamespace(unwrap_model=lambda model: model, mixed_precision="bf16")
    made._dist, made.model, made.watch = SimpleNamespace(is_fsdp=False), updated("llama"), Watch(dtype="float32")
    made.llm, made._stats = SimpleNamespace(reset_prefix_cache=lambda: None), {}
    made._reload()
    expected = sent(made.model, torch.float32)
    assert given.keys() == expected.keys()
    assert all(torch.equal(given[name], tensor) for name, tensor in expected.items())
