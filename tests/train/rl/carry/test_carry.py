"""Mode carry through run_rl: what a step trains, what is carried, and that a killed run ends as an undisturbed one."""

import os
import re
import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from carry_runs import words
from rl_runs import PROBLEMS, rl, train, verify
from tiny_lm import save_policy

from ringlite_cli.errors import Interrupted, UserError, WorkFailed
from ringlite_cli.problems import Verdict
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.runs.catalogue import timed
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.carry.pool import Pool
from ringlite_cli.train.rl.carry.transformers_stream import TransformersStream
from ringlite_cli.train.rl.lengths import LengthHistory

TIMES = timed("rl")
CARRY = {"rollouts": {"mode": "carry", "in_flight": 12, "max_retention": 6}, "router_balance_coef": 0.0}
CARRY |= {"router_z_loss_coef": 0.0, "token_budget": 60}


def length(name: str) -> int:
    """2 to 6 tokens, and the longest that there is for the first response of every third group."""
    group, place = map(int, name.split("-"))
    return 12 if group % 3 == 0 and place == 0 else 2 + (group * 5 + place) % 5


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "llama", head_dim=32)


def carry(policy: Path, out: Path, engine: type | None = None, **options: object) -> list[dict]:
    rl(policy, out, rollout_func=engine or words(length), **(CARRY | options))
    return read_jsonl(out / "metrics.jsonl")


def left_by(out: Path) -> dict:
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_jsonl(out / "metrics.jsonl")]
    weights = (out / "policy" / "model.safetensors").read_bytes()
    return {"weights": weights, "metrics": rows, "rollouts": read_jsonl(out / "rollouts.jsonl")}


@pytest.mark.slow
def test_whole_groups_train_in_the_order_of_their_launch_and_the_budget_is_full(policy: Path, tmp_path: Path) -> None:
    engine = words(length)
    rows = carry(policy, tmp_path, engine, steps=6)
    assert [row["tokens_trained"] for row in rows] == [60] * 6
    rollouts = read_jsonl(tmp_path / "rollouts.jsonl")
    groups = [rollouts[i : i + 4] for i in range(0, len(rollouts), 4)]
    assert all(len({row["prompt_id"] for row in group}) == 1 for group in groups)
    launched = [ask.name.split("-")[0] for asked in engine.asked for ask in asked]
    assert len(groups) <= len(set(launched))
    for row, after in pairwise(rows):
        assert row["tokens_carried_out"] == after["tokens_carried_in"]
        assert row["tokens_generated"] > 0
    assert any("1" in row["tokens_by_age"] for row in rows)
    assert {row["retention"] for row in rollouts} > {0}
    taken = sum(row["tokens"] for row in rollouts)
    assert sum(row["tokens_generated"] for row in rows) == taken + rows[-1]["tokens_carried_out"]


@pytest.mark.slow
def test_the_trainers_own_model_writes_no_more_than_a_piece_at_a_time(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[tuple[int, int]] = []
    draw = TransformersStream._draw

    def noted(self: TransformersStream, prompts: list[list[int]], room: int) -> list:
        drawn = draw(self, prompts, room)
        pieces.extend((len(tokens), room) for tokens, _ in drawn)
        return drawn

    monkeypatch.setattr(TransformersStream, "_draw", noted)
    rl(policy, tmp_path, steps=2, **CARRY)
    assert pieces
    assert all(written <= room <= 2 for written, room in pieces)  # an eighth of 12 tokens, rounded up
    assert all(row["tokens"] <= 12 for row in read_jsonl(tmp_path / "rollouts.jsonl"))


@pytest.mark.slow
def test_the_weight_of_an_older_token_is_the_ratio_to_the_version_that_wrote_it(policy: Path, tmp_path: Path) -> None:
    """The trainer's own model draws: for tokens of this rollout k is 1 to rounding, for older ones it is not."""
    rl(policy, tmp_path, steps=5, **CARRY)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    by_age = {age: found for row in rows for age, found in row["mismatch_by_age"].items()}
    assert by_age.keys() > {"0"}
    for age, found in by_age.items():
        assert (found["p99"] < 1e-5) == (age == "0"), (age, found)
    assert all(row["mismatch_masked"] < 0.5 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"undershoot": "refill", "drop_uninformative": True, "sampling": "difficulty", "updates_per_rollout": 2},
        {"mismatch": {"rule": "kpop", "masked_share": 0.2}, "budget_schedule": "linear", "token_budget_end": 90,
         "budget_steps": 3},
    ],
    ids=["plain", "refill, difficulty, two updates", "kpop, growing budget"],
)  # fmt: skip
@pytest.mark.parametrize("own", [True, False], ids=["small engine", "transformers"])
def test_a_run_that_is_stopped_with_responses_in_flight_ends_as_an_undisturbed_one(
    policy: Path, tmp_path: Path, options: dict, own: bool
) -> None:
    """Of two updates of a rollout, the stop after step 3 lies between."""
    made = CARRY | options | {"steps": 4, "trl": {"save_steps": 100}}
    engine = {"rollout_func": words(length)} if own else {}
    rl(policy, tmp_path / "whole", **made, **engine)
    whole = left_by(tmp_path / "whole")

    for stopped_at in (2, 3):

        def stop(row: dict, at: int = stopped_at) -> None:
            if row["step"] == at - 1:
                os.kill(os.getpid(), signal.SIGUSR1)

        out = tmp_path / f"stopped-{stopped_at}"
        with pytest.raises(Interrupted):
            rl(policy, out, on_step=stop, **made, **engine)
        rl(policy, out, **made, **engine)
        assert left_by(out) == whole, stopped_at


@pytest.mark.slow
def test_old_groups_are_dropped_counted_and_asked_again(policy: Path, tmp_path: Path) -> None:
    """A response that never ends in time: its group is dropped, and its prompt is launched again."""
    keys = {"rollouts": {"mode": "carry", "in_flight": 12, "max_retention": 1}, "token_budget": 15}
    keys |= {"prompts_per_step": 4, "trl": {"max_completion_length": 15}}

    def slow(name: str) -> int:
        group, place = map(int, name.split("-"))
        return 15 if group == 0 and place == 0 else 1

    engine = words(slow)
    rows = carry(policy, tmp_path, engine, steps=6, **keys)
    assert sum(row["groups_dropped_old"] for row in rows) == 1
    assert sum(row["tokens_dropped_old"] for row in rows) > 0
    first = [ask.ids for asked in engine.asked for ask in asked if ask.name == "0-0-0"]
    again = [ask.name for asked in engine.asked for ask in asked if [ask.ids] == first and ask.name != "0-0-0"]
    assert again


@pytest.mark.slow
def test_only_tokens_that_can_be_trained_count_where_the_recipe_asks_for_them(policy: Path, tmp_path: Path) -> None:
    """Half of the groups are all right: with drop_uninformative further rounds fill the budget with the others."""

    def half(pairs: list) -> list[Verdict]:
        return [
            Verdict("correct", 1.0) if int(problem.id[1:]) % 2 or len(text.split()) % 2 else Verdict("wrong", 0.0)
            for problem, text in pairs
        ]

    rows = carry(policy, tmp_path / "all", steps=4, verifier=half)
    dropped = carry(policy, tmp_path / "informative", steps=4, verifier=half, drop_uninformative=True, refill_rounds=9)
    assert [row["budget_fill"] for row in rows] == [1.0] * 4
    assert [row["budget_fill"] for row in dropped] == [1.0] * 4
    assert sum(row["tokens_refilled"] for row in dropped) > 0
    assert sum(row["tokens_refilled"] for row in rows) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"undershoot": "refill"}, "of its budget, .*; raise refill_rounds, or lower token_budget"),
        ({}, "of its budget, .*; undershoot: refill asks further prompts"),
        ({"algorithm": "grpo"}, "step 1 trains nothing: none of its 16 responses may be trained"),
    ],
)
def test_a_step_that_trains_nothing_says_what_would_help(
    policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, keys: dict, message: str
) -> None:
    """All responses are truncated, and truncated ones are left out."""
    carry(policy, tmp_path, words(lambda name: 99), steps=1, overlong={"rule": "mask"}, **keys)
    (told,) = (record.getMessage() for record in caplog.records if "step 1 trains" in record.getMessage())
    assert re.search(message, told)


@pytest.mark.slow
def test_an_algorithm_without_a_budget_takes_the_groups_of_prompts_per_step(policy: Path, tmp_path: Path) -> None:
    rows = carry(policy, tmp_path, steps=3, algorithm="grpo", prompts_per_step=3)
    assert [row["responses_trained"] for row in rows] == [12] * 3


@pytest.mark.slow
def test_prompts_are_launched_in_the_order_of_their_expected_lengths(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[tuple[str, float]]] = []
    launched: list[str] = []
    sort, launch = LengthHistory.longest_first, Pool.launch

    def sorted_then(self: LengthHistory, rows: list) -> None:
        sort(self, rows)
        drawn.append([(row["problem_id"], self.expected(row)) for row in rows])

    def noted(self: Pool, row: dict, *more: object, **options: object) -> object:
        launched.append(row["problem_id"])
        return launch(self, row, *more, **options)

    monkeypatch.setattr(LengthHistory, "longest_first", sorted_then)
    monkeypatch.setattr(Pool, "launch", noted)
    trl = {"num_generations": 4, "max_completion_length": 12}
    keys = CARRY | {"prompts_per_step": 4, "row_tokens": 32, "rollouts": CARRY["rollouts"] | {"order": "longest"}}
    keys = {name: value for name, value in keys.items() if not name.startswith("router")}
    train(policy, PROBLEMS[:4], verify, tmp_path, steps=6, trl=trl, rollout_func=words(length), **keys)
    assert launched == [name for rows in drawn for name, _ in rows][: len(launched)]
    lengths = [[expected for _, expected in rows] for rows in drawn]
    assert all(each == sorted(each, reverse=True) for each in lengths)
    assert len({name for name, _ in drawn[-1]}) == 4
    assert len(set(lengths[-1])) > 1


@pytest.mark.slow
def test_fewer_prompts_than_are_in_flight_are_asked_again_and_again(policy: Path, tmp_path: Path) -> None:
    trl = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3}
    keys = {k: v for k, v in CARRY.items() if not k.startswith("router")} | {"prompts_per_step": 4, "row_tokens": 32}
    train(
        policy, PROBLEMS[:2], verify, tmp_path, steps=3, trl=trl, prompt_suffix={}, rollout_func=words(length), **keys
    )
    assert {row["prompt_id"] for row in read_jsonl(tmp_path / "rollouts.jsonl")} == {"p0", "p1"}


@pytest.mark.slow
def test_an_engine_without_log_probabilities_is_told(policy: Path, tmp_path: Path) -> None:
    engine = words(length, log_probs=False)
    with pytest.raises(WorkFailed, match="the engine gives no log-probabilities"):
        carry(policy, tmp_path / "a", engine, steps=1)
    (row,) = carry(policy, tmp_path / "b", engine, steps=1, mismatch={"rule": "none"})
    assert "engine_mismatch" not in row


def draws(prompts: list, trainer: object) -> dict:
    return {}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rollouts": {"mode": "carry", "in_flight": 3}}, "in_flight: 3 responses are less than a group of 4"),
        ({"rollouts": {"mode": "carry", "max_retention": 0}}, "max_retention: input should be greater than 0, not 0"),
        ({"rollouts": {"mode": "keep"}}, "rollouts.mode: input should be 'wait' or 'carry', not 'keep'"),
        ({"rollouts": {"in_flight": 64}}, r"rollouts.in_flight: it is of rollouts: \{mode: carry\}"),
        ({"rollouts": {"mode": "carry"}, "token_budget": 6000}, "a budget of 6000 tokens can never be filled"),
        ({"rollouts": {"ahead": 1}}, "rollouts.ahead: the trainer's own model cannot draw while it trains; set trl"),
        ({"rollouts": {"ahead": 1}, "trl": {"use_vllm": True}}, "rollouts.ahead: an engine beside the trainer on its"),
        (
            {"rollouts": {"mode": "carry"}, "trl": {"generation_kwargs": {"stop": ["x"]}}},
            "trl.generation_kwargs: stop look at a response from its beginning",
        ),
        (
            {"mismatch": {"rule": "icepop", "low": 6.0}},
            r"mismatch.low: 6 is not below high, which is 5 for icepop",
        ),
        (
            {"mismatch": {"rule": "geometric", "high": 0.5}},
            r"mismatch.high: 0.5 is not above low, which is 0.99 for geo",
        ),
        ({"mismatch": {"rule": "truncate", "low": 0.5}}, "mismatch.low: truncate does not use it; leave it out"),
        ({"mismatch": {"low": 0.5}}, "mismatch.low: none does not use it; leave it out, or set mismatch.rule"),
        ({"mismatch": {"rule": "icepop", "cap": 3.0}}, "mismatch.cap: icepop does not use it"),
        (
            {"mismatch": {"rule": "kpop", "masked_share": 1}},
            "mismatch.masked_share: input should be less than 1, not 1",
        ),
        ({"mismatch": {"rule": "kpop", "masked_share": 0.2, "divergence": 0.1}}, "mismatch.masked_share: divergence"),
        ({"overlong": {"rule": "penalty"}}, "overlong: rule: penalty and buffer"),
        ({"overlong": {"rule": "penalty", "buffer": 99}}, "overlong.buffer: 99 tokens are more than max_completion"),
        (
            {"rollout_func": draws, "rollouts": {"mode": "carry"}},
            r"has no stream\(trainer\), by which responses are carried over.*set rollouts: \{mode: wait\}",
        ),
        (
            {"rollout_func": draws, "rollouts": {"ahead": 1}},
            r"has no stream\(trainer\), by which responses are drawn ahead.*or leave rollouts.ahead out",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_drawn(
    policy: Path, tmp_path: Path, keys: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rl(policy, tmp_path / "out", steps=1, router_balance_coef=0.0, router_z_loss_coef=0.0, **keys)
    assert not (tmp_path / "out").exists()


def test_drawing_ahead_on_several_processes_is_refused_with_the_reason() -> None:
    settings = RlSettings.made(rollouts={"ahead": 1}, trl={"max_steps": 1})
    assert any("ahead trains on one process, not on 2" in fault for fault in settings.faults(world_size=2))


AHEAD = {"router_balance_coef": 0.0, "router_z_loss_coef": 0.0, "token_budget": 60}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wait", "carry"])
def test_ahead_draws_the_next_rollout_while_a_step_trains(policy: Path, tmp_path: Path, mode: str) -> None:
    """All tokens of a step are one rollout old, but for the first; in mode wait each step takes all of its prompts."""
    engine = words(length)
    threads: list[str] = []
    plain = engine.step

    def step(self: object) -> list:
        threads.append(threading.current_thread().name)
        return plain(self)

    engine.step = step
    more = {"in_flight": 12, "max_retention": 6} if mode == "carry" else {}
    rl(policy, tmp_path, rollout_func=engine, steps=5, rollouts={"mode": mode, "ahead": 1, **more}, **AHEAD)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    assert [min(map(int, row["tokens_by_age"])) > 0 for row in rows] == [False, True, True, True, True]
    assert threads[0] == "MainThread"
    assert "rollout-ahead" in threads
    if mode == "wait":
        rollouts = read_jsonl(tmp_path / "rollouts.jsonl")
        assert len(rollouts) == 5 * 16
        assert [max(map(int, row["tokens_by_age"])) for row in rows] == [0, 1, 1, 1, 1]
        rl(policy, tmp_path / "plain", steps=5, **AHEAD)
        drawn = [row["prompt_id"] for row in read_jsonl(tmp_path / "plain" / "rollouts.jsonl")]
        assert [row["prompt_id"] for row in rollouts] == drawn


@pytest.mark.slow
def test_a_run_that_is_stopped_while_a_rollout_is_drawn_ahead_goes_on(policy: Path, tmp_path: Path) -> None:
    """What had ended is in the checkpoint, and the rest is drawn by the step's own weights; no thread is left."""
    keys = {"steps": 4, "rollouts": {"ahead": 1}, "rollout_func": words(length), "trl": {"save_steps": 100}, **AHEAD}

    def stop(row: dict) -> None:
        if row["step"] == 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted):
        rl(policy, tmp_path, on_step=stop, **keys)
    assert not any(thread.name == "rollout-ahead" for thread in threading.enumerate())
    rl(policy, tmp_path, **keys)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(set(row["tokens_by_age"]) <= {"0", "1"} for row in rows)
    assert len(read_jsonl(tmp_path / "rollouts.jsonl")) == 4 * 16


@pytest.mark.slow
@pytest.mark.parametrize("stops", [False, True])
def test_what_a_rollout_ahead_did_is_counted_in_the_step_that_takes_it(
    policy: Path, tmp_path: Path, stops: bool
) -> None:
    """A group that is dropped, and every token, is in one row of metrics, stopped and resumed too."""
    keys = CARRY | {"rollouts": {"mode": "carry", "in_flight": 12, "max_retention": 1, "ahead": 1}, "token_budget": 15}
    keys |= {"steps": 8, "trl": {"max_completion_length": 15, "save_steps": 100}}
    keys |= {"rollout_func": words(lambda name: 15 if name == "0-0" else 1)}
    for place in range(1, 4 * stops):

        def stop(row: dict, at: int = 2 * place - 1) -> None:
            if row["step"] == at:
                os.kill(os.getpid(), signal.SIGUSR1)

        with pytest.raises(Interrupted):
            rl(policy, tmp_path, on_step=stop, **keys)
    rl(policy, tmp_path, **keys)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    assert sum(row["groups_dropped_old"] for row in rows) == 1
    for row, after in pairwise(rows):
        assert row["tokens_carried_out"] == after["tokens_carried_in"]
    left = sum(row["tokens"] for row in read_jsonl(tmp_path / "rollouts.jsonl")) + rows[-1]["tokens_carried_out"]
    assert sum(row["tokens_generated"] for row in rows) == left + sum(row["tokens_dropped_old"] for row in rows)
    assert ["rollout_tokens_per_second" in row for row in rows] == [True] + 7 * [False], "the others waited for it"
