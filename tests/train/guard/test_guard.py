"""The guard: which numbers break which rule, and what a run does about it."""

import math
import os
import re
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from rl_runs import train
from tiny_lm import save_policy

from ringlite_cli.errors import Interrupted, WorkFailed
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.guard.alarm import Alarm
from ringlite_cli.train.guard.callback import GuardCallback
from ringlite_cli.train.guard.history import History, Paused, RollBack, Rollback
from ringlite_cli.train.guard.rules import Watch
from ringlite_cli.train.rl.run import RlResult

CALM = {"reward": 0.4, "entropy": 0.3, "grad_norm": 1.0, "response_tokens_mean": 50.0, "truncated_fraction": 0.0}


def alarms(guard: dict, rows: Iterable[dict]) -> list[tuple[int, str]]:
    watch = Watch(Guard.model_validate({"window": 4, **guard}))
    return [(a.step, a.rule) for step, row in enumerate(rows, 1) for a in watch.see(step, CALM | row)]


@pytest.mark.parametrize(
    ("guard", "odd", "expected"),
    [
        ({}, {}, []),
        ({"entropy": {"low": 0.1}}, {"entropy": 0.0}, [(9, "entropy")]),  # a mean over four falls below at the third
        ({"entropy": {"high": 0.5}}, {"entropy": 1.2}, [(7, "entropy")]),
        ({}, {"reward": 0.0}, [(9, "reward")]),  # 0.1 of 0.4 is less than half
        ({"reward": None}, {"reward": 0.0}, []),
        ({}, {"grad_norm": 25.0}, [(7, "grad_norm")]),
        ({}, {"grad_norm": 19.0}, []),
        ({"length": {"times": 2}}, {"response_tokens_mean": 200.0}, [(8, "length")]),
        ({"length": {"truncated": 0.5}}, {"truncated_fraction": 1.0}, [(9, "truncated")]),
        ({}, {"engine_mismatch": 0.5}, [(7, "mismatch")]),
        ({}, {"mismatch_masked": 0.9}, [(7, "mismatch")]),
        ({}, {"grad_norm": math.nan}, [(n, "not_finite") for n in range(7, 11)]),
    ],
)
def test_a_rule_speaks_once_when_it_is_broken_and_not_before(guard, odd, expected):
    """Six calm steps, then odd ones: four, of which the window of four sees one more each time."""
    assert alarms(guard, [{}] * 6 + [odd] * 4) == expected


DEAD = {"informative_fraction": 0.0, "reward": 0.0, "verdicts_by_domain": {"math": {"wrong": 64}}}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (DEAD, "the mean reward is 0.00: take easier problems"),
        (DEAD | {"reward": 1.0}, r"right already \(reward 1.00\): take harder problems"),
        (DEAD | {"truncated_fraction": 0.99}, "99% of the responses are cut at their limit: raise trl.max_completion"),
        (DEAD | {"verdicts_by_domain": {"math": {"unparsed": 62, "wrong": 2}}}, "no answer is found in 97%"),
        (DEAD | {"entropy": 0.001}, r"the same response each time \(entropy 0.0010\)"),
    ],
)
def test_a_run_without_signal_says_so_within_its_first_steps_and_why(row, words):
    watch = Watch(Guard())
    said = [alarm for step in range(1, 9) for alarm in watch.see(step, CALM | row)]
    (alarm,) = [alarm for alarm in said if alarm.rule == "no_signal"]
    assert (alarm.step, alarm.action) == (3, "log")
    assert re.search(f"nothing can be learned: in 3 steps no group has different rewards; .*{words}", alarm.words)


def test_a_hard_start_with_rare_successes_is_no_dead_run():
    lucky = DEAD | {"informative_fraction": 1 / 64, "reward": 1 / 512}
    assert alarms({}, [DEAD, DEAD, lucky] * 5) == []
    assert alarms({"no_signal": None}, [DEAD] * 5) == []
    assert alarms({"no_signal": {"steps": 2}}, [DEAD, DEAD, lucky, DEAD, DEAD]) == [(2, "no_signal"), (5, "no_signal")]


def test_a_watch_without_signal_goes_on_from_its_state():
    first, second = Watch(Guard()), Watch(Guard())
    assert [first.see(step, CALM | DEAD) for step in (1, 2)] == [[], []]
    second.restore(first.state())
    assert [alarm.rule for alarm in second.see(3, CALM | DEAD)] == ["no_signal"]


def test_a_rule_that_held_in_between_speaks_again():
    spike = {"grad_norm": 30.0}
    assert alarms({}, [{}] * 6 + [spike] + [{}] * 6 + [spike]) == [(7, "grad_norm"), (14, "grad_norm")]


def test_a_watch_goes_on_from_its_state():
    rows = [CALM | {"reward": reward} for reward in (0.4, 0.6, 0.5, 0.4, 0.3, 0.1, 0.1, 0.0, 0.0)]
    whole, first, second = (Watch(Guard(window=3)) for _ in range(3))
    expected = [whole.see(step, row) for step, row in enumerate(rows)]
    before = [first.see(step, row) for step, row in enumerate(rows[:5])]
    second.restore(first.state())
    assert before + [second.see(step, row) for step, row in enumerate(rows[5:], 5)] == expected
    assert sum(map(bool, expected)) == 1


def test_left_out_rollouts_are_never_asked_again(tmp_path):
    """Back to 4 from 7, then back to 2 from 3 of what came: rollouts 4-6 and then 2 of the new count are left out."""
    history = History(tmp_path, [Rollback(4, 3, 0.5), Rollback(2, 1, 0.25)])
    assert history.kept(range(20), 1, 8, 1) == [0, 1, 3, 7, 8, 9, 10, 11]
    assert history.spare == 4
    assert [history.left_out_at(step) for step in (0, 2, 4)] == [0, 1, 0]


def test_a_rollback_between_two_updates_leaves_out_whole_rollouts_alone(tmp_path):
    """Back to 5 of 8 with two updates each: the third rollout goes on from the checkpoint, the fourth is left out."""
    back = RollBack(Alarm(8, "reward", "rollback", None, None, ""), 5)
    history = History(tmp_path).roll_back(back, Guard(), 2)  # without a checkpoint: to the start
    assert history.rollbacks == [Rollback(0, 4, 1.0)]
    assert History(tmp_path, [Rollback(5, 1, 1.0)]).kept(range(20), 1, 6, 2) == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("window", "every", "good", "kept"),
    [
        (2, 1, 8, {8, 9, 10}),
        (3, 1, 7, {7, 9, 10}),  # 8 gave way to 9: the oldest and the newest wait for their window
        (8, 1, 1, {1, 8, 10}),
        (8, 5, 0, {0, 5, 10}),
    ],
)
def test_checkpoints_whose_window_is_not_over_are_kept_until_it_is(window, every, good, kept):
    """With save_steps 1 and a window of 8, each was dropped for its age before the guard could vouch for it."""
    callback, states = guarded(window), [SimpleNamespace(global_step=n, save_steps=every) for n in range(1, 11)]
    for state in states:
        callback.on_log(None, state, SimpleNamespace(), {"loss": 0.1})
        callback.on_save(None, state, None)
    assert (callback.good, set(callback.kept)) == (good, kept)


def guarded(window: int) -> GuardCallback:
    trainer = SimpleNamespace(step_stats=CALM, held_out_scores=None)
    return GuardCallback(trainer, Guard(window=window))


def test_the_guard_vouches_for_the_checkpoint_that_it_went_back_to(tmp_path):
    """A second alarm soon after led to the very start, for the checkpoint remembers an older one, long gone."""
    history = History(tmp_path, [Rollback(6, 3, 0.5)])
    assert [history.good_at(step) for step in (4, 6, 9)] == [0, 6, 6]


PROBLEMS = [Problem(id=f"p{i}", domain="math", prompt=f"w{i % 40} w{i // 40}") for i in range(200)]


def verify(pairs):
    return [Verdict("x", float(text.count("w1") % 2)) for _, text in pairs]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3")


def rl(policy, out, guard, verifier=verify, steps=8, updates_per_rollout=1, **trl):
    fields = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 1e-3, "save_steps": 1, **trl}
    numbers = {"prompts_per_step": 4, "token_budget": 60, "row_tokens": 64, "prompt_suffix": {}}
    numbers["updates_per_rollout"] = updates_per_rollout
    guard = Guard.model_validate({"window": 2, **guard})
    return train(policy, PROBLEMS, verifier, out, steps=steps, trl=fields, guard=guard, **numbers)


class Falls:
    """Rewards everything, until a given prompt is asked: from then on nothing, as a policy that collapsed."""

    def __init__(self, fatal: str) -> None:
        self.fatal, self.fallen, self.asked = fatal, False, []

    def __call__(self, pairs):
        self.asked.append([problem.id for problem, _ in pairs[::4]])
        self.fallen |= self.fatal in self.asked[-1]
        if self.fallen and len(self.asked) > 7:
            self.fallen = False  # the policy that was put back does not remember
        return [Verdict("x", 0.0 if self.fallen else float(i % 4 > 0)) for i in range(len(pairs))]


def fatal_prompt(policy, out) -> str:
    falls = Falls("")
    rl(policy, out, {}, falls)
    return falls.asked[5][0]  # the sixth step's


GOES_BACK = {"reward": {"drop": 0.9, "action": "rollback"}, "lr_factor": 0.5}


@dataclass
class GoneBack:
    """A run that went back once: where it is, what it returned and asked, and the prompt that made it fall."""

    out: Path
    result: RlResult
    asked: list[list[str]]
    fatal: str


@pytest.fixture(scope="module")
def gone_back(policy, tmp_path_factory) -> GoneBack:
    out = tmp_path_factory.mktemp("gone back")
    fatal = fatal_prompt(policy, out / "calm")
    falls = Falls(fatal)
    return GoneBack(out / "run", rl(policy, out / "run", GOES_BACK, falls), falls.asked, fatal)


@pytest.mark.slow
def test_a_rollback_goes_to_a_good_checkpoint_leaves_the_batches_out_and_lowers_the_rate(gone_back):
    assert gone_back.result.steps == 8
    (event,) = read_jsonl(gone_back.out / "guard.jsonl")
    assert (event["rule"], event["step"], event["attempt"]) == ("reward", 7, 0)
    assert (event["to"], event["skipped"], event["lr_scale"]) == (4, 3, 0.5)  # a whole window before the alarm
    rows = read_jsonl(gone_back.out / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["step"] for row in read_jsonl(gone_back.out / "rolled_back.jsonl")] == [5, 6, 7]
    assert all(row["lr"] == pytest.approx(1e-3 if row["step"] <= 4 else 5e-4) for row in rows)
    first, after = gone_back.asked[:7], gone_back.asked[7:]
    assert not {name for batch in first for name in batch} & {name for batch in after for name in batch}


@pytest.mark.slow
def test_a_rollback_between_two_updates_keeps_every_rollout_that_is_trained_and_obeys_a_stop(policy, tmp_path):
    """The guard goes back from 7 to 3 in the step in which the run is asked to stop; then from 5, and to 3 again."""
    falls = Falls("")

    def verifier(pairs):
        falls.fallen = len(falls.asked) in (3, 4)
        if len(falls.asked) == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        return falls(pairs)

    guard = {"reward": {"drop": 0.3, "action": "rollback"}, "window": 3}
    with pytest.raises(Interrupted, match=r"stopped in step 7, gone back to step 3; the same command goes on"):
        rl(policy, tmp_path, guard, verifier, steps=10, updates_per_rollout=2)
    assert rl(policy, tmp_path, guard, verifier, steps=10, updates_per_rollout=2).steps == 10
    events = read_jsonl(tmp_path / "guard.jsonl")
    assert [(event["step"], event["to"], event["skipped"]) for event in events] == [(7, 3, 2), (5, 3, 1)]
    kept = Counter()
    for row in read_jsonl(tmp_path / "rollouts.jsonl"):
        kept[row["step"]] += row["tokens_kept"]
    assert kept == {row["step"]: row["tokens_trained"] for row in read_jsonl(tmp_path / "metrics.jsonl")}


@pytest.mark.slow
def test_patience_ends(policy, tmp_path):
    guard = {"entropy": {"low": 50.0, "action": "rollback"}, "max_rollbacks": 2}
    with pytest.raises(WorkFailed, match=r"step 2: the entropy .* below 50 .*gone back 2 times already.*learning_rate"):
        rl(policy, tmp_path, guard)
    events = read_jsonl(tmp_path / "guard.jsonl")
    assert [(event["attempt"], event.get("to")) for event in events] == [(0, 0), (1, 0), (2, None)]


@pytest.mark.slow
def test_a_pause_saves_and_the_same_call_goes_on(policy, tmp_path):
    guard = {"entropy": {"low": 50.0, "action": "pause"}, "window": 3}
    with pytest.raises(Paused, match="paused the run after step 3: the entropy"):
        rl(policy, tmp_path, guard, save_steps=100)
    with pytest.raises(Paused, match="paused the run after step 6"):
        rl(policy, tmp_path, guard, save_steps=100)
    assert rl(policy, tmp_path, guard, save_steps=100).steps == 8
    assert [event["step"] for event in read_jsonl(tmp_path / "guard.jsonl")] == [3, 6]


@pytest.mark.slow
def test_a_logged_rule_changes_nothing_but_the_log(policy, tmp_path):
    rl(policy, tmp_path / "calm", {}, steps=4)
    rl(policy, tmp_path / "run", {"entropy": {"low": 50.0}}, steps=4)
    assert [event["rule"] for event in read_jsonl(tmp_path / "run" / "guard.jsonl")] == ["entropy"]
    assert not (tmp_path / "calm" / "guard.jsonl").exists()
    one, other = ((tmp_path / name / "policy" / "model.safetensors").read_bytes() for name in ("calm", "run"))
    assert one == other


@pytest.mark.slow
def test_a_loss_that_is_no_number_goes_back_and_fails_when_it_comes_again(policy, tmp_path):
    with pytest.raises(
        WorkFailed, match=r"step 1: the gradient's norm is (nan|-?inf) at step 1; the guard has gone back 1 times"
    ):
        rl(policy, tmp_path, {"max_rollbacks": 1}, entropy_coef=1e39)


@pytest.mark.slow
def test_a_guarded_run_that_was_killed_after_a_rollback_goes_on_to_the_same_weights(policy, tmp_path, gone_back):
    falls = Falls(gone_back.fatal)

    def dies(pairs):
        if len(falls.asked) == 8:  # in the second step after the rollback
            raise RuntimeError("power cut")
        return falls(pairs)

    with pytest.raises(Exception, match="power cut"):
        rl(policy, tmp_path, GOES_BACK, dies)
    rl(policy, tmp_path, GOES_BACK, falls)
    for name in ("policy/model.safetensors", "guard.jsonl", "guard.json"):
        assert (tmp_path / name).read_bytes() == (gone_back.out / name).read_bytes(), name
