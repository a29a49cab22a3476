"""What a launcher's configuration asks for: FSDP2 and nothing else is taken."""

import os
import re

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.runs.sharding import (
    NUMBER_FORMAT,
    READ_ONCE,
    launched_sharded,
    leave_dtype_to_recipe,
    read_everywhere,
)
from ringlite_cli.train.sharded import check_layers

FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, r"fsdp_version\): FSDP1 is not supported; set it to 2"),
        ({"ACCELERATE_USE_FSDP": "True", "FSDP_VERSION": "1"}, r"FSDP1 is not supported"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, r"DeepSpeed is not supported.*ringlite launcher fsdp2"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, r"Megatron-LM is not supported.*ringlite launcher fsdp2"),
        (FSDP2 | {"FSDP_STATE_DICT_TYPE": "LOCAL_STATE_DICT"}, r"LOCAL_STATE_DICT is not one of FSDP2's"),
        (FSDP2 | {"FSDP_AUTO_WRAP_POLICY": "NO_WRAP"}, r"NO_WRAP does not share out layer by layer; set it to TRANS"),
        ({k: v for k, v in FSDP2.items() if "WRAP" not in k}, r"fsdp_auto_wrap_policy: NO_WRAP does not share out"),
        (
            {"ACCELERATE_USE_PARALLELISM_CONFIG": "true", "PARALLELISM_CONFIG_TP_SIZE": "2"},
            r"parallelism_config\): tensor, context and sequence parallelism are not supported; leave it out",
        ),
        (
            {"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"},
            r"dynamo_config\): dynamo_backend: INDUCTOR would compile.*leave it",
        ),
        (FSDP2 | {"ACCELERATE_DYNAMO_BACKEND": "EAGER"}, r"dynamo_backend: EAGER would compile"),
    ],
)
def test_another_way_of_sharding_is_refused_by_name(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        launched_sharded(environment)
    assert re.search(message, str(refused.value))


def test_ranks_without_shards_and_fsdp2_are_told_apart() -> None:
    assert not launched_sharded({})
    assert not launched_sharded({"ACCELERATE_DYNAMO_BACKEND": "NO"})  # what accelerate sets where nobody asks
    assert not launched_sharded({"ACCELERATE_USE_FSDP": "false", "FSDP_VERSION": "1"})
    assert launched_sharded(FSDP2 | {"FSDP_CPU_RAM_EFFICIENT_LOADING": "false"})


@pytest.mark.parametrize(("said", "then"), [("true", "false"), ("false", "false"), (None, None)])
def test_the_launchers_word_on_reading_weights_counts_for_no_stage(
    monkeypatch: pytest.MonkeyPatch, said: str | None, then: str | None
) -> None:
    monkeypatch.delenv(READ_ONCE, raising=False)
    if said:
        monkeypatch.setenv(READ_ONCE, said)
    read_everywhere()
    assert os.environ.get(READ_ONCE) == then


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        (None, ""),
        (["LlamaDecoderLayer"], ""),
        (["Qwen2DecoderLayer"], "Qwen2DecoderLayer is not in the model; leave it out, or name LlamaDecoderLayer"),
    ],
)
def test_layers_of_another_model_are_refused_by_name(named: list[str] | None, fault: str) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(hidden_size=8, intermediate_size=8, num_attention_heads=2, vocab_size=9))
    if not fault:
        check_layers(named, model)
        return
    with pytest.raises(UserError, match=fault):
        check_layers(named, model)


@pytest.mark.parametrize("said", ["bf16", "fp16", "no", None])
def test_the_launchers_number_format_counts_for_nothing(monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    """accelerate would train a recipe of float32 under autocast."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    monkeypatch.delenv(NUMBER_FORMAT, raising=False)
    if said:
        monkeypatch.setenv(NUMBER_FORMAT, said)
    leave_dtype_to_recipe()
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})
    assert Accelerator(cpu=True).mixed_precision == "no"
