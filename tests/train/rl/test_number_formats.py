"""The number formats of RL: passes in the recipe's, trained weights in float32, a frozen base in its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rl_runs import rl
from tiny_lm import save_policy

from ringlite_cli.memory.layout import RowLayout
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.train.rl import trainer
from ringlite_cli.train.rl.trl_config import rl_config

TRL = {"num_generations": 4, "max_steps": 1, "max_completion_length": 12}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("lora", "frozen", "held"), [(None, "bfloat16", "float32"), ({"r": 4}, "bfloat16", "bfloat16")]
)
def test_passes_are_in_the_recipes_format_whatever_weights_are_held_in(
    lora: dict[str, int] | None, frozen: str, held: str, dtype: str, tmp_path: Path
) -> None:
    settings = RlSettings.made(prompts_per_step=4, token_budget=60, lora=lora, trl=TRL)
    config = rl_config(
        settings,
        settings.batch_plan(world_size=1),
        RowLayout(32, False),
        dtype=dtype,
        attn_implementation=None,
        mixture=False,
        output_dir=str(tmp_path),
        seed=1,
        frozen=frozen,
    )
    assert config.bf16 == (dtype == "bfloat16")
    assert config.model_init_kwargs["dtype"] == held


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_training_pass_computes_in_the_recipes_format(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, seen = save_policy(tmp_path / "policy", "qwen3"), set()
    step = trainer.C3POTrainer.training_step

    def watched(self: Any, model: Any, *given: Any) -> Any:
        up = model.model.layers[0].mlp.up_proj
        hook = up.register_forward_hook(lambda _, __, out: seen.add(out.dtype))
        try:
            return step(self, model, *given)
        finally:
            hook.remove()

    monkeypatch.setattr(trainer.C3POTrainer, "training_step", watched)
    rl(policy, tmp_path / "out", dtype=dtype, steps=1, router_balance_coef=0.0, router_z_loss_coef=0.0)
    assert seen == {getattr(torch, dtype)}
