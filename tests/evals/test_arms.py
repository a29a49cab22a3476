"""Means and intervals over seeds, against numbers worked by hand."""

import json
from pathlib import Path

import pytest

from ringlite_cli.evals.arms import _curves, _facts, _scores, mean_over_seeds


def test_the_interval_is_students_t_over_the_seeds() -> None:
    """Three differences 1, 2, 3: mean 2, sd 1, and t with 2 degrees of freedom at 97.5 % is 4.302653."""
    found = mean_over_seeds([1.0, 2.0, 3.0])
    assert found["mean"] == pytest.approx(2.0)
    assert found["sd"] == pytest.approx(1.0)
    assert found["ci95"] == pytest.approx([2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], abs=1e-5)


def test_one_seed_has_no_spread_and_equal_seeds_show_no_interval() -> None:
    assert mean_over_seeds([0.4]) == {"mean": 0.4, "sd": None, "ci95": None}
    assert mean_over_seeds([0.25, 0.25]) == {"mean": 0.25, "sd": 0.0, "ci95": None}


def test_curves_carry_the_lowest_and_the_highest_seed(tmp_path: Path) -> None:
    for seed, rewards in {1: [0.1, 0.2], 2: [0.3, 0.4, 0.5]}.items():
        stage = tmp_path / str(seed) / "rl"
        stage.mkdir(parents=True)
        made = {
            "stage": "rl",
            "kind": "rl",
            "status": "done",
            "fingerprint": "x",
            "seed": seed,
            "recipe": {},
            "parent": [],
        }
        (stage / "manifest.json").write_text(json.dumps(made))
        rows = [{"step": step, "reward": reward} for step, reward in enumerate(rewards, 1)]
        (stage / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reward = _curves({seed: tmp_path / str(seed) for seed in (1, 2)})["reward"]
    assert [[round(x, 6) for x in point] for point in reward] == [
        [1, 0.2, 0.1, 0.3],
        [2, 0.3, 0.2, 0.4],
        [3, 0.5, 0.5, 0.5],
    ]


def test_a_task_of_two_eval_stages_is_one_for_each(tmp_path: Path) -> None:
    for stage, share in {"eval": 0.2, "long": 0.6}.items():
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "scores.json").write_text(json.dumps({"rl": {"math": {"avg@k": share}}}))
    found = {row["task"]: row["mean"] for row in _scores("arm", {1: tmp_path})}
    assert found == {"eval: math": 0.2, "long: math": 0.6, "mean of tasks": pytest.approx(0.4)}


def test_a_step_without_a_value_is_left_out_of_what_training_came_to() -> None:
    """It ended the experiment's comparison in a traceback."""
    row = {"reward": 0.5, "entropy": 0.3, "response_tokens_mean": 40.0, "grad_norm": 2.0, "tokens_generated": 100}
    row |= {"tokens_trained": 80, "update_seconds": 1.0, "step_seconds": 3.0, "rollout_seconds": 2.0}
    rows = [row | {"step": step} for step in range(1, 11)]
    rows[0] |= {"reward": None, "entropy": None}
    rows[3] |= {"grad_norm": None}
    rows[9] |= {"reward": 0.7}
    found = _facts(rows)
    assert "reward, first tenth" not in found
    assert (found["reward, last tenth"], found["gradient norm, highest"], found["gradient norm, mean"]) == (
        0.7,
        2.0,
        2.0,
    )
    assert (found["tokens trained"], found["seconds of steps"]) == (800.0, 30.0)
    assert _facts([]) == {}
