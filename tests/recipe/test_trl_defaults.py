"""A field of TRL that is given the value which it has anyway is as good as not given."""

from typing import Any

import pytest

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.trl_defaults import OURS, usual_value
from ringlite_cli.recipe.trl_fields import trl_fields


def objective_of(stage: str, *changes: str) -> dict[str, Any]:
    return load_recipe("toy", list(changes)).stages[stage].objective()


@pytest.mark.parametrize(
    ("stage", "given"),
    [
        ("sft", "trl.weight_decay=0.0"),
        ("sft", "trl.weight_decay=0"),
        ("sft", "trl.lr_scheduler_type=cosine"),
        ("sft", "trl.warmup_steps=0.03"),
        ("sft", "trl.packing=true"),
        ("sft", "trl.adam_beta2=0.999"),
        ("sft", "trl.max_grad_norm=1.0"),
        ("rl-math", "trl.weight_decay=0.0"),
        ("rl-math", "trl.lr_scheduler_type=constant_with_warmup"),
        ("rl-math", "trl.temperature=1"),
        ("rl-math", "trl.epsilon=0.2"),
        ("rl-math", "trl.disable_dropout=true"),
    ],
)
def test_a_default_that_is_written_out_changes_nothing(stage: str, given: str) -> None:
    assert objective_of(stage, f"stages.{stage}.{given}") == objective_of(stage)


@pytest.mark.parametrize(
    ("stage", "given"),
    [
        ("sft", "trl.weight_decay=0.1"),
        ("sft", "trl.lr_scheduler_type=linear"),
        ("sft", "trl.max_length=1024"),  # TRL's; a recipe without it takes the longest sample
        ("sft", "trl.bf16=null"),  # TRL's; a recipe without it has the model's
        ("sft", "trl.packing=false"),
        ("rl-math", "trl.lr_scheduler_type=linear"),
        ("rl-math", "trl.disable_dropout=false"),
        ("rl-math", "trl.num_generations=8"),  # TRL's, where the recipe has another
    ],
)
def test_what_only_trl_would_choose_is_a_change(stage: str, given: str) -> None:
    assert objective_of(stage, f"stages.{stage}.{given}") != objective_of(stage)


def test_what_an_algorithm_wants_is_the_default_under_it() -> None:
    gspo = "stages.rl-math.algorithm=gspo"
    wanted = objective_of("rl-math", gspo)
    assert objective_of("rl-math", gspo, "stages.rl-math.trl.epsilon=0.0003") == wanted
    assert objective_of("rl-math", gspo, "stages.rl-math.trl.epsilon=0.2") != wanted


def test_the_defaults_are_those_of_the_finished_configs() -> None:
    from ringlite_cli.train.rl.config import C3POConfig
    from ringlite_cli.train.sft.run import sft_config

    made, rl = sft_config({}, "unused", 1), C3POConfig.__dataclass_fields__
    derived = (
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "steps_per_generation",
        *OURS["GRPOConfig"],
    )
    plain = [name for name in trl_fields("GRPOConfig") if name in rl and name not in derived]
    known = {name: rl[name].default for name in plain if isinstance(rl[name].default, int | float)}
    assert len(known) > 50
    assert {name: usual_value("GRPOConfig", name) for name in known} == known
    assert {name: getattr(made, name) for name in OURS["SFTConfig"]} == OURS["SFTConfig"]
