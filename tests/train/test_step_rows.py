"""A row for each optimizer step, whatever steps the recipe has trackers told of."""

from types import SimpleNamespace

import pytest
from rl_runs import rl
from tiny_lm import save_policy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.step_rows import EveryStep


class Tracker(TrainerCallback):
    """One of transformers' own."""

    __module__ = "transformers.integrations.integration_utils"

    def __init__(self) -> None:
        self.told: list[dict] = []

    def on_log(self, args, state, control, model=None, logs=None, **kwargs):
        self.told.append(logs)


@pytest.mark.parametrize("logging", [{"logging_steps": 3}, {"logging_strategy": "no"}])
def test_steps_that_are_not_logged_count_all_the_same(tmp_path, logging) -> None:
    """Rows, totals and the guard, which acts in step 1 here."""
    policy = save_policy(tmp_path / "policy", "ernie4_5_moe")
    guard = Guard.made(window=1, length={"action": "log", "times": 100.0, "truncated": 0.01})
    result = rl(policy, tmp_path / "out", trl=logging, guard=guard)
    assert [row["step"] for row in read_jsonl(tmp_path / "out" / "metrics.jsonl")] == [1, 2, 3, 4]
    assert (result.steps, result.tokens_trained) == (4, 240)
    assert read_jsonl(tmp_path / "out" / "guard.jsonl")[0]["step"] == 1


@pytest.mark.parametrize(("strategy", "asked", "told"), [("steps", [3], [3]), ("epoch", [], [1, 2, 3]), ("no", [], [])])
def test_trackers_are_told_of_the_steps_that_the_recipe_names(tmp_path, strategy, asked, told) -> None:
    tracker = Tracker()
    every = EveryStep(SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[tracker])))
    args = TrainingArguments(str(tmp_path), logging_strategy=strategy, report_to=[])
    for step in (1, 2, 3):
        control = TrainerControl(should_log=step in asked)
        every.on_step_end(args, TrainerState(), control)
        assert control.should_log
        tracker.on_log(args, TrainerState(), control, model=None, logs={"loss": 1.0, "step": step})
    assert [logs["step"] for logs in tracker.told] == told
    tracker.on_log(args, TrainerState(), TrainerControl(), logs={"train_runtime": 1.0})
    assert tracker.told[-1] == {"train_runtime": 1.0}, "what is no step's is told at any time"
