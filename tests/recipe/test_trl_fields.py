"""The fields read from TRL's sources are the fields of TRL's dataclasses."""

import dataclasses
import json
from pathlib import Path

import pytest

from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.recipe.trl_fields import check_trl, trl_default, trl_fields
from ringlite_cli.recipe.trl_rules import TRL_RULES


@pytest.mark.parametrize("name", ["SFTConfig", "GRPOConfig"])
def test_fields_are_those_of_the_installed_dataclass(name: str) -> None:
    import trl

    assert set(trl_fields(name)) == {f.name for f in dataclasses.fields(getattr(trl, name))}
    assert TRL_RULES[name].keys() <= trl_fields(name).keys()


def test_values_are_coerced_as_their_fields_say() -> None:
    values, faults = check_trl({"learning_rate": "3e-4", "max_steps": "5", "report_to": "none"}, "GRPOConfig")
    assert values == {"learning_rate": 3e-4, "max_steps": 5, "report_to": "none"}
    assert faults == []


def test_a_wrong_value_is_a_fault_and_not_passed_on() -> None:
    values, faults = check_trl({"max_steps": 1.5, "num_generations": [1]}, "GRPOConfig")
    assert values == {}
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ("SFTConfig", ("max_length", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps")),
        (
            "GRPOConfig",
            ("num_generations", "max_completion_length", "vllm_mode", "vllm_gpu_memory_utilization"),
        ),
    ],
)
def test_defaults_are_those_of_the_installed_dataclass(config: str, names: tuple[str, ...]) -> None:
    import trl

    fields = getattr(trl, config).__dataclass_fields__
    assert {name: trl_default(config, name) for name in names} == {name: fields[name].default for name in names}


@pytest.mark.parametrize("config", ["SFTConfig", "RewardConfig"])
@pytest.mark.parametrize("field", ["model_init_kwargs", "trust_remote_code"])
def test_how_weights_are_loaded_is_the_recipes_to_say(config: str, field: str) -> None:
    """The model is loaded before the trainer is made, which then ignores both with a warning of TRL's."""
    _, faults = check_trl({field: {"dtype": "float16"} if field.startswith("model") else True}, config)
    assert len(faults) == 1
    assert "at the recipe's head" in faults[0]


@pytest.mark.parametrize("config", ["SFTConfig", "GRPOConfig"])
def test_a_rule_lets_its_own_value_pass_unless_the_field_is_refused(config: str) -> None:
    for field, rule in TRL_RULES[config].items():
        _, faults = check_trl({field: rule.value}, config)
        assert bool(faults) == rule.refused, (field, faults)


@pytest.mark.parametrize("config", ["SFTConfig", "RewardConfig", "GRPOConfig"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsdp", "full_shard"),
        ("fsdp_config", {"fsdp_version": 1}),
        ("deepspeed", "zero3.json"),
        ("parallelism_config", {"tp_size": 2}),
    ],
)
def test_how_training_is_shared_out_is_the_launcher_s_to_say(config: str, name: str, value: object) -> None:
    _, (fault,) = check_trl({name: value}, config)
    assert fault.startswith(f"'{name}' is ringlite's to set: the launcher's configuration decides it")
    assert "ringlite launcher" in fault


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("temperature", 0.5, "set trl.temperature instead"),
        ("max_tokens", 8, "set trl.max_completion_length instead"),
        ("n", 2, "set trl.num_generations instead"),
        ("logprobs", 5, "logprobs changes how answers are read"),
        ("seed", 0, "seed makes all responses of a group the same"),
        ("do_sample", False, "do_sample makes all responses of a group the same"),
        ("num_beams", 4, "num_beams makes all responses of a group the same"),
    ],
)
def test_what_is_drawn_is_set_by_the_field_that_training_reads(name: str, value: object, what: str) -> None:
    faults = RlSettings.made(trl={"max_steps": 1, "use_vllm": True, "generation_kwargs": {name: value}}).faults()
    assert [what in fault for fault in faults] == [True]


def test_other_settings_of_generation_are_passed_on() -> None:
    kwargs = {"ignore_eos": True, "min_tokens": 4, "do_sample": True, "seed": None}
    assert RlSettings.made(trl={"max_steps": 1, "use_vllm": True, "generation_kwargs": kwargs}).faults() == []


_AWRY = [
    ({"split_batches": True}, "'accelerator_config.split_batches' must be False, not True: a batch is of one rank"),
    ({"dispatch_batches": True}, "'accelerator_config.dispatch_batches' must be False"),
    ({"even_batches": False}, "'accelerator_config.even_batches' must be True"),
    ({"even_batches": None}, "'accelerator_config.even_batches' must be True"),
    ({"use_seedable_sampler": False}, "also after a resume"),
    ({"gradient_accumulation_kwargs": {"num_steps": 2}}, "gradient_accumulation_steps says it"),
]


@pytest.mark.parametrize("config", ["SFTConfig", "RewardConfig", "GRPOConfig"])
@pytest.mark.parametrize(("given", "why"), _AWRY)
def test_what_deals_rows_otherwise_is_refused(config: str, given: dict[str, object], why: str, tmp_path: Path) -> None:
    """Rows would be left out, or trained twice, and a resumed run would read others."""
    (tmp_path / "a.json").write_text(json.dumps(given))
    for value in (given, str(tmp_path / "a.json")):
        checked, (fault,) = check_trl({"accelerator_config": value}, config)
        assert why in fault
        assert not checked


@pytest.mark.parametrize("config", ["SFTConfig", "RewardConfig", "GRPOConfig"])
def test_other_ways_to_leave_rows_out_or_train_them_twice_are_refused(config: str) -> None:
    _, faults = check_trl({"ignore_data_skip": True, "train_sampling_strategy": "batch_rebalance"}, config)
    assert ["resumes reads the rows that come next" in faults[0], "trained twice" in faults[1]] == [True, True]


@pytest.mark.parametrize("config", ["SFTConfig", "RewardConfig", "GRPOConfig"])
def test_what_of_accelerate_deals_no_rows_may_be_given(config: str) -> None:
    kind = {"split_batches": False, "dispatch_batches": None, "even_batches": True, "non_blocking": True}
    given = {"accelerator_config": kind | {"gradient_accumulation_kwargs": {"sync_each_batch": True}}}
    assert check_trl(given, config) == (given, [])
