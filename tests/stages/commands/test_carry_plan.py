"""The gain of mode carry that `plan` foresees, beside what was measured on GPUs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.stages.commands.carry_plan import BANDWIDTH, Engine, assumed_lengths, carry_lines, gain

QWEN = Engine(weights=2 * 0.6e9, kv=2 * 2 * 28 * 8 * 128, prompt=120, bandwidth=BANDWIDTH["H100"], flops=989e12)


@pytest.mark.parametrize(("in_flight", "measured"), [(64, 2.39), (128, 1.73), (512, 1.14)])
def test_the_formula_gives_what_was_measured_on_an_h100(in_flight: int, measured: float) -> None:
    """vLLM alone, a 0.6B model of Qwen3's shape, lognormal lengths cut at 8,192 tokens."""
    assert gain(QWEN, in_flight, assumed_lengths(8192)) == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("in_flight", "longest", "measured"), [(64, 8192, 2.40), (128, 8192, 2.15), (512, 4096, 0.92)])
def test_the_formula_gives_what_rollouts_of_the_trainer_took_on_an_h200(
    in_flight: int, longest: int, measured: float
) -> None:
    """docs/experiments/rollouts-on-a-gpu.md: the same workload, with weight syncs and log-probabilities."""
    found = gain(replace(QWEN, bandwidth=BANDWIDTH["H200"]), in_flight, assumed_lengths(longest))
    assert found == pytest.approx(measured, rel=0.15)


def test_mode_wait_waits_for_as_many_as_it_draws_at_once() -> None:
    """64 are waited for and 512 carried: more in flight brings speed, and more to be read again in every rollout."""
    lengths = assumed_lengths(8192)
    own_budgets = QWEN.waiting(lengths, 64) / QWEN.carrying(lengths, 512, 512)
    assert own_budgets == pytest.approx(13_327 / 4_556, rel=0.2), "tokens a second as measured, carried and waited for"
    assert own_budgets > gain(QWEN, 64, lengths) > gain(QWEN, 512, lengths, waits=64) > gain(QWEN, 512, lengths)
    assert gain(QWEN, 64, lengths, waits=64) == gain(QWEN, 64, lengths)


def test_equal_lengths_leave_nothing_to_gain_and_a_tail_does() -> None:
    equal = [500.0] * 100
    assert QWEN.waiting(equal, 64) == pytest.approx(QWEN.carrying(equal, 64, 10**9)), "but for what is read again"
    assert gain(QWEN, 64, equal) < 1
    assert gain(QWEN, 64, [500.0] * 99 + [8000.0]) > 2.5


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
    assert "about 0.7 times as fast as in mode wait (16 in flight, lengths as in its last run, mean 40 tokens" in line
    assert list(carry_lines(recipe, "sft", tmp_path)) == []


def lines(*keys: str, gpus: tuple[int, ...] = (1,)) -> list[str]:
    recipe = load_recipe("toy", [f"stages.rl-math.{key}" for key in keys])
    return list(carry_lines(recipe, "rl-math", Path("nowhere"), gpus))


def test_plan_compares_with_what_mode_wait_would_draw_at_once() -> None:
    (line,) = lines("rollouts={mode: carry, in_flight: 64}", "updates_per_rollout=2", "trl.use_vllm=true")
    assert line.startswith("carry: rollouts are about")
    assert "(64 in flight, 32 waited for, lognormal" in line


def test_plan_promises_no_speed_of_the_trainers_own_model() -> None:
    """It reads prompts anew for every piece: the toy recipe took 2.2 times as long with carry on a CPU."""
    (line,) = lines("rollouts={mode: carry}")
    assert line.startswith("carry: rollouts would be about")
    assert line.endswith("; the trainer's own model, which draws here, is slower with it than in mode wait")


def test_plan_counts_the_gpus_that_it_is_asked_for() -> None:
    """Each of four has its share of the responses in flight, and a budget of its own by the default scope."""
    keys = ("rollouts={mode: carry, in_flight: 64, max_retention: 1}", "trl.use_vllm=true", "token_budget_scope=rank")
    alone, note, four = lines(*keys, gpus=(1, 4))
    assert alone.startswith("carry: rollouts are about")
    assert note.startswith("carry: with 64 in flight a response of 48 tokens is carried over about 5 times")
    assert four.startswith("on 4 GPUs, carry: rollouts are about")
    assert "(16 in flight, 4 waited for, lognormal" in four
    assert lines(*keys, gpus=(32,)) == [
        "on 32 GPUs, carry: rollouts.in_flight: 2 responses on each of 32 processes are less than a group of 4, and "
        "only whole groups train; raise it to 128 at least"
    ]


def test_plan_says_where_the_longest_responses_can_never_end(tmp_path: Path) -> None:
    carried = ["stages.rl-math.rollouts={mode: carry, in_flight: 64, max_retention: 1}"]
    _, note = carry_lines(load_recipe("toy", carried), "rl-math", tmp_path)
    assert "is carried over about" in note
    assert "max_retention is 1: such groups are dropped" in note
