"""Rollouts are recorded where they are made: what the reward functions gave, whatever TRL's own log makes of it."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from tiny_lm import save_policy

from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.record import Measured, Measures, Recorder
from ringlite_cli.train.rl.rollout import RolloutBatch
from ringlite_cli.train.rl.trainer import C3POTrainer


def test_a_batch_is_what_was_scored() -> None:
    recorder = Recorder(Accelerator(cpu=True))
    recorder.start(7)
    recorder.column("verdict", ["wrong", "correct"])
    recorder.column("detail", ["test 2", ""])
    recorder.scored(["p", "p"], ["a", "b"], torch.tensor([[0.0, float("nan")], [1.0, 0.5]]))
    recorded = recorder.finish(torch.tensor([-1.0, 1.0]))
    assert (recorded.prompts, recorded.responses, recorded.policy_step) == (["p", "p"], ["a", "b"], 7)
    assert recorded.rewards[1] == [1.0, 0.5]
    assert recorded.rewards[0][1] != recorded.rewards[0][1], "a missing reward stays missing"
    assert (recorded.advantages, recorded.verdicts) == ([-1.0, 1.0], ["wrong", "correct"])
    assert recorded.details == ["test 2", ""]


def test_no_column_of_an_earlier_batch_is_left() -> None:
    recorder = Recorder(Accelerator(cpu=True))
    recorder.column("verdict", ["wrong"])
    recorder.start(1)
    recorder.scored(["p"], ["a"], torch.tensor([[1.0]]))
    recorded = recorder.finish(torch.tensor([0.0]))
    assert recorded.verdicts == recorded.details == [""]
    recorded.verdicts.append("one more, of a refill")
    assert recorded.details == [""], "each column is a list of its own"


class _Told:
    def __init__(self, **measured) -> None:
        self.measured = Measured(**measured)


def test_batches_add_up_and_functions_that_measure_nothing_are_passed_over() -> None:
    measures = Measures()
    measures.add([len, _Told(seconds={"math": 2.0, "code": 1.0}, overlap=0.5, numbers={"x": 1.0})])
    measures.add([_Told(seconds={"math": 3.0}, numbers={"x": 3.0})])
    assert measures.seconds == {"math": 5.0, "code": 1.0}
    assert (measures.overlap, measures.numbers) == (0.25, {"x": 2.0})


def test_means_are_over_responses_whatever_their_batches_and_ranks(monkeypatch) -> None:
    """Two ranks, of which one graded 3 of 4 responses and the other 1; then a smaller batch, of a refill."""
    measures = Measures()
    ranks = [
        [Measured({}, 1.0, {"judge_tokens": 100.0}, responses=4, counts={"judge_tokens": 3})],
        [Measured({}, 0.5, {"judge_tokens": 900.0}, responses=4, counts={"judge_tokens": 1})],
    ]
    monkeypatch.setattr("ringlite_cli.train.rl.record.gather_object", lambda mine: ranks)
    measures.add([])
    ranks = [[Measured({}, 0.0, {}, responses=1)]] * 2
    measures.add([])
    assert measures.overlap == (4 + 2) / 10
    assert measures.numbers == {"judge_tokens": (3 * 100 + 900) / 4}
    measures.penalty(-0.5, 12)
    measures.penalty(0.0, 4)
    assert measures.mean_penalty == -0.5 * 12 / 16


def test_a_response_that_was_not_trained_is_of_the_step_after_its_policy() -> None:
    rollout = RolloutBatch([3, 2], [True, False], [1.0, None], [0.5, 0.0], ["math"] * 2, ["a"] * 2,
                           [(0, 0, 0), (0, 0, 1)],
                           ["p"] * 2, ["r", "s"], ["correct", "error"], policy_step=4)  # fmt: skip
    rows = rollout.rows({0: (6, 2)})
    assert [(row["step"], row["tokens_kept"]) for row in rows] == [(6, 2), (5, 0)]
    assert not any("detail" in row for row in rows)
    rollout.details = ["", "test 2: wrong output"]
    assert [row.get("detail") for row in rollout.rows({})] == [None, "test 2: wrong output"]
    rollout.extend(rollout.__class__([1], [True], [0.0], [0.0], ["math"], ["b"], [(0, 0, 0)], ["p"], ["t"], [""]))
    assert (rollout.places[-1], rollout.policy_step) == ((0, 1, 0), 4)


def _likes(word: str):
    def liked(completions: list[str], **_: object) -> list[float]:
        return [float(text.count(word) % 2) for text in completions]

    return liked


@pytest.mark.slow
def test_reward_functions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    args = C3POConfig(
        str(tmp_path), token_budget=40, prompts_per_step=4, num_generations=4, max_completion_length=12, max_steps=1,
        use_cpu=True, bf16=False, report_to="none", save_strategy="no", reward_weights=[1.0, 10.0],
    )  # fmt: skip
    rows: list[dict] = []
    trainer = C3POTrainer(
        model=str(save_policy(tmp_path / "policy", "ernie4_5_moe")),
        reward_funcs=[_likes("w1"), _likes("w2")],
        args=args,
        train_dataset=Dataset.from_list([{"prompt": f"w{i} w{i + 1}"} for i in range(8)]),
        on_rollout=rows.extend,
    )
    trainer.train()
    assert len(rows) == 16
    for row in rows:
        one, two = row["response"].count("w1") % 2, row["response"].count("w2") % 2
        assert row["reward"] == one + 10 * two
