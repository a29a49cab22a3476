"""The gain of mode carry that `plan` foresees, beside what was measured on GPUs."""

import json
from pathlib import Path

import pytest

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.stages.commands.carry_plan import BANDWIDTH, assumed_lengths, carry_lines, gain

QWEN = {"weights": 2 * 0.6e9, "kv": 2 * 2 * 28 * 8 * 128, "prompt": 120, "bandwidth": 3.35e12}


@pytest.mark.parametrize(("in_flight", "measured"), [(64, 2.39), (128, 1.73), (512, 1.14)])
def test_the_formula_gives_what_was_measured_on_an_h100(in_flight: int, measured: float) -> None:
    """vLLM alone, a 0.6B model of Qwen3's shape, lognormal lengths cut at 8,192 tokens."""
    assert gain(in_flight, assumed_lengths(8192), **QWEN) == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("in_flight", "measured"), [(64, 2.40), (128, 2.15)])
def test_the_formula_gives_what_rollouts_of_the_trainer_took_on_an_h200(in_flight: int, measured: float) -> None:
    """docs/experiments/rollouts-on-a-gpu.md: the same workload, with weight syncs and log-probabilities."""
    found = gain(in_flight, assumed_lengths(8192), **QWEN | {"bandwidth": BANDWIDTH["H200"]})
    assert found == pytest.approx(measured, rel=0.15)


def test_equal_lengths_leave_nothing_to_gain_and_a_tail_does() -> None:
    assert gain(64, [500.0] * 100, **QWEN) == pytest.approx(1.0)
    assert gain(64, [500.0] * 99 + [8000.0], **QWEN) > 3


def test_assumed_lengths_have_the_mean_of_the_workload() -> None:
    lengths = assumed_lengths(8192)
    assert sum(lengths) / len(lengths) == pytest.approx(1450, rel=0.1)
    assert max(lengths) == 8192


def test_plan_says_what_carry_would_gain_and_takes_lengths_of_the_last_run(tmp_path: Path) -> None:
    recipe = load_recipe("toy", [])
    (line,) = carry_lines(recipe, "rl-math", tmp_path)
    assert "carry: rollouts would be about" in line
    assert "lognormal lengths assumed" in line
    stage = tmp_path / "toy" / "rl-math"
    stage.mkdir(parents=True)
    rows = [{"step": 1, "tokens": 40}] * 50
    (stage / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (line,) = carry_lines(recipe, "rl-math", tmp_path)
    assert "about 1.0 times as fast as in mode wait (16 in flight, lengths as in its last run, mean 40 tokens" in line
    assert list(carry_lines(recipe, "sft", tmp_path)) == []


def test_plan_says_where_the_longest_responses_can_never_end(tmp_path: Path) -> None:
    carried = ["stages.rl-math.rollouts={mode: carry, in_flight: 64, max_retention: 1}"]
    _, note = carry_lines(load_recipe("toy", carried), "rl-math", tmp_path)
    assert "is carried over about" in note
    assert "max_retention is 1: such groups are dropped" in note
