"""The formulas beside what real models keep, counted tensor by tensor."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_lm import tiny_model

from ringlite_cli.memory.drawing import drawn_of
from ringlite_cli.memory.held import Shape, Training, held_parts, resident
from ringlite_cli.memory.optimizers import host_bytes, optimizer_bytes
from ringlite_cli.memory.shapes import shape_of
from ringlite_cli.models.lora_targets import with_adapter

LORA = {"r": 4, "task_type": "CAUSAL_LM", "target_modules": "all-linear"}


def bytes_of(tensors):
    return sum(x.numel() * x.element_size() for x in tensors)


def trained_once(model, optimizer):
    ids = torch.arange(3, 23)[None]
    model.train()(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "qwen3_moe", "ernie4_5_moe"])  # one has a frozen bias
@pytest.mark.parametrize("lora", [False, True])
def test_weights_gradients_and_optimizer_are_those_of_a_real_step(architecture, lora):
    model = tiny_model(architecture).to(torch.bfloat16 if lora else torch.float32)
    if lora:
        model = get_peft_model(model, LoraConfig(**LORA))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    with torch.autocast("cpu", torch.bfloat16):
        trained_once(model, optimizer)
    parts = held_parts(shape_of(model), Training(bf16=True, reference=True))
    assert parts["weights"] == bytes_of(model.parameters())
    assert parts["gradients"] == bytes_of(p.grad for p in trained if p.grad is not None)
    moments = [x for state in optimizer.state.values() for name, x in state.items() if name != "step"]
    assert parts["optimizer"] == bytes_of(moments)
    assert parts["reference"] == (0 if lora else bytes_of(model.parameters()))
    assert parts["gathered"] == 0
    assert resident(parts) == parts["weights"] + parts["optimizer"] + parts["reference"] + parts["gathered"]


JAMBA = {
    "num_experts": 2, "num_experts_per_tok": 1, "attn_layer_period": 2, "attn_layer_offset": 1,
    "expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_state": 4, "mamba_dt_rank": 4,
    "use_mamba_kernels": False,
}  # fmt: skip


def test_an_adapter_that_no_gradient_reaches_has_neither_gradients_nor_moments():
    """Jamba multiplies by the weight of dt_proj itself."""
    lora = LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=["dt_proj", "q_proj"])
    bare = tiny_model("jamba", num_hidden_layers=4, **JAMBA)
    with torch.device("meta"):
        foreseen = shape_of(with_adapter(tiny_model("jamba", num_hidden_layers=4, **JAMBA), lora))
    model = get_peft_model(bare, lora)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    trained_once(model, optimizer)
    for shape in (foreseen, shape_of(model)):
        parts = held_parts(shape, Training(bf16=False))
        assert parts["weights"] == bytes_of(model.parameters())
        assert parts["gradients"] == bytes_of(p.grad for p in trained if p.grad is not None)
        assert parts["optimizer"] == 2 * parts["gradients"]
        assert 0 < shape.idle < shape.trained


@pytest.mark.parametrize("tied", [True, False])
def test_a_shape_is_read_from_a_model_and_its_adapter_is_counted_without_weights(tied):
    model = tiny_model("qwen3", tie_word_embeddings=tied, num_hidden_layers=3)
    shape = shape_of(model)
    layer = sum(p.numel() for p in model.model.layers[1].parameters())
    words = model.get_input_embeddings().weight.numel()
    assert shape == Shape(model.num_parameters(), model.num_parameters(), words * (2 - tied), layer, model.config)
    with torch.device("meta"):
        bare = tiny_model("qwen3", tie_word_embeddings=tied, num_hidden_layers=3)
    foreseen = shape_of(with_adapter(bare, LoraConfig(**LORA)))
    adapted = shape_of(get_peft_model(model, LoraConfig(**LORA)))
    assert (foreseen.trained, foreseen.adapted) == (adapted.trained, adapted.adapted)
    assert adapted.trained == adapted.adapter
    assert (adapted.total, adapted.embedding, adapted.block) == (shape.total, shape.embedding, shape.block)


def test_shards_divide_what_is_held_and_gather_layers():
    shape = Shape(16_800_000_000, 16_800_000_000, 517_000_000, 570_000_000, tiny_model("llama").config)
    eight = held_parts(shape, Training(reference=True, shards=8))
    assert [eight[name] / 1e9 for name in ("weights", "gradients", "optimizer", "reference")] == [8.4, 8.4, 16.8, 8.4]
    assert eight["gathered"] == 2 * (3 * 570_000_000 + 517_000_000) + 6 * 570_000_000
    offloaded = held_parts(shape, Training(reference=True, shards=8, offload=True))
    assert sum(offloaded.values()) == offloaded["gathered"] == eight["gathered"]
    assert held_parts(shape, Training(shards=8, optimizer="adamw_torch_8bit"))["optimizer"] == pytest.approx(
        4.26e9, rel=0.01
    )


@pytest.mark.parametrize(
    ("name", "on_gpu", "on_host"),
    [
        (None, 8, 0), ("adamw_torch_fused", 8, 0), ("adamw_8bit", 2, 0), ("adamw_bnb_8bit", 2, 0),
        ("paged_adamw_8bit", 0, 2), ("paged_adamw_32bit", 0, 8), ("lion_8bit", 1, 0), ("sgd", 0, 0),
        ("a_new_one", 8, 0),
    ],
)  # fmt: skip
def test_optimizers_keep_so_much_of_a_parameter(name, on_gpu, on_host):
    assert (optimizer_bytes(name), host_bytes(name)) == (on_gpu, on_host)


def test_every_optimizer_that_is_named_is_one_of_transformers():
    from transformers.training_args import OptimizerNames

    from ringlite_cli.memory.optimizers import _ON_GPU

    assert set(_ON_GPU) <= {name.value for name in OptimizerNames}


def test_weights_that_stay_whole_between_passes_are_counted_for_updates_and_of_a_reference_always():
    """fsdp_reshard_after_forward: false; a reference has no backward pass, which would give its weights up."""
    shape = Shape(16_800_000_000, 16_800_000_000, 517_000_000, 570_000_000, tiny_model("llama").config)
    given_up, whole = (held_parts(shape, Training(reference=True, shards=8, reshard=flag)) for flag in (True, False))
    assert (given_up["whole"], whole["reference"] - given_up["reference"]) == (0, 2 * 16_800_000_000)
    everything = 2 * (16_800_000_000 + 570_000_000)  # in bfloat16, and the buffer that a layer is copied out of
    assert whole["gathered"] + whole["whole"] == everything + 6 * 570_000_000
    assert resident(whole) - resident(given_up) == 2 * 16_800_000_000
    assert held_parts(shape, Training(reshard=False)) == held_parts(shape, Training())  # nothing is shared out
    drawn = [drawn_of({}, shape, Training(shards=8, reshard=flag), responses=1, length=9) for flag in (True, False)]
    assert drawn[1].work - drawn[0].work == whole["whole"]
