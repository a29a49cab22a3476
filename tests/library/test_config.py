"""C3POConfig: the fields of the settings, and what it refuses by name."""

from dataclasses import fields

import pytest
from trl import GRPOConfig

from ringlite import C3POConfig, C3POSettings, C3POTrainer
from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.recipe.config_fields import FILE, with_fields

SMALL = {"prompts_per_step": 4, "token_budget": 60, "num_generations": 4, "max_completion_length": 16}


def config(**keys: object) -> C3POConfig:
    return C3POConfig("out", **(SMALL | keys))


def test_its_fields_are_those_of_the_settings() -> None:
    found = {field.name: field for field in fields(C3POConfig)}
    own = found.keys() - {field.name for field in fields(GRPOConfig)}
    assert own == C3POSettings.model_fields.keys()
    for name, key in C3POSettings.model_fields.items():
        assert found[name].default == key.default, name
        assert found[name].metadata["help"] == key.description, name


def test_its_source_is_the_one_that_is_made_of_the_settings() -> None:
    source = FILE.read_text(encoding="utf-8")
    assert "    token_budget: int = 409_600\n" in source
    assert with_fields(source) == source, "run python -m ringlite_cli.recipe.config_fields"


def test_it_is_made_without_any_key_and_with_the_papers_values() -> None:
    made = C3POConfig("out")
    assert (made.prompts_per_step, made.token_budget, made.generation_batch_size) == (512, 409_600, 4096)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"token_budget": 10_000},
            "token_budget: a budget of 10000 tokens can never be filled",
        ),
        ({"token_budget": 0}, "token_budget: input should be greater than 0, not 0"),
        ({"token_budget": 8}, "token_budget: .* smaller than one response"),
        ({"cut": "half"}, "cut: input should be 'exact' or 'whole'"),
        ({"algorithm": "grop"}, "algorithm: input should be 'c3po'"),
        ({"algorithm": "grpo", "undershoot": "refill"}, "grpo trains every response"),
        ({"budget_schedule": "linear"}, "token_budget_end: a linear budget needs an end"),
        ({"delta": 0.2}, "'delta' must be None, not 0.2"),
        ({"loss_type": "grpo"}, "'loss_type' must be 'dapo', not 'grpo'"),
        ({"num_iterations": 2}, "'num_iterations' must be 1, not 2"),
        ({"generation_batch_size": 16}, "generation_batch_size: it follows from prompts_per_step"),
        ({"gradient_accumulation_steps": 2}, "give it together with per_device_train_batch_size"),
        ({"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}, "8 responses of a step .* are not"),
        ({"num_generations": 1}, "num_generations: a group of 1 response"),
        ({"max_completion_length": None}, "max_completion_length: a positive number is needed"),
    ],
)
def test_what_cannot_work_is_refused_by_name(keys: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeErrors, match=message):
        config(**keys)


def test_all_faults_come_together() -> None:
    with pytest.raises(RecipeErrors) as caught:
        config(token_budget=0, cut="half", refill_rounds=0)
    assert len(caught.value.faults) == 3


def test_a_plain_grpo_config_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="args: a GRPOConfig has no token budget; make a ringlite"):
        C3POTrainer(model="any", reward_funcs=len, args=GRPOConfig("out", use_cpu=True, bf16=False), train_dataset=[])


def test_too_few_prompts_for_a_step_are_refused_by_name() -> None:
    from datasets import Dataset

    with pytest.raises(UserError, match="train_dataset: 3 prompts do not fill a rollout of 4"):
        C3POTrainer(
            model="any", reward_funcs=len, args=config(), train_dataset=Dataset.from_dict({"prompt": ["a"] * 3})
        )
