"""What rollouts could not be drawn or weighed with is said before any stage works, not when RL begins."""

from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.stages.base import Finding
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.walk.preflight import findings

KEY = "stages.rl-math"


def found_in(*keys: str) -> list[Finding]:
    recipe = load_checked("toy", [f"{KEY}.{key}" for key in keys])
    return list(findings(recipe, Path("nowhere"), ("rl-math",), Console()))


def test_a_rule_for_log_probabilities_that_nobody_gives_is_a_warning() -> None:
    (found,) = found_in("mismatch={rule: icepop}")
    assert not found.fatal
    assert str(found) == (
        f"{KEY}.mismatch.rule: icepop weighs nothing, for the trainer's own model gives no log-probabilities in mode "
        "wait; set trl.use_vllm: true, or leave it out"
    )
    assert found_in("mismatch={rule: icepop}", "rollouts={mode: carry}") == []


def test_a_model_in_pieces_that_is_to_carry_responses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    keys = ("rollouts={mode: carry}", "prompts_per_step=4")
    assert not [each for each in found_in(*keys) if "rollouts.mode" in each.where]
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    (found,) = (each for each in found_in(*keys) if "rollouts.mode" in each.where)
    assert "a model that is shared out writes in step on all ranks" in found.what
    assert "rollouts: {mode: wait}" in found.hint


def test_a_length_of_the_engine_that_leaves_no_room_for_a_prompt_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringlite_cli.stages.preflight.engine.vllm_version", lambda: "0.25.1")
    told = [str(each) for each in found_in("trl.use_vllm=true", "trl.vllm_max_model_length=48")]
    key = f"{KEY}.trl.vllm_max_model_length"
    assert f"{key}: responses of 48 tokens leave no room for a prompt in its 48; raise it, or lower " in "\n".join(told)
    fine = [str(each) for each in found_in("trl.use_vllm=true", "trl.vllm_max_model_length=49")]
    assert not any(key in each for each in fine)


def test_a_weight_of_nothing_is_said() -> None:
    """With it a penalty for length was divided by zero."""
    (found,) = found_in("trl.reward_weights=[0.0]", "overlong={rule: penalty, buffer: 8}")
    assert str(found).startswith(f"{KEY}.trl.reward_weights: a weight of 0 leaves nothing to learn from; give another")
