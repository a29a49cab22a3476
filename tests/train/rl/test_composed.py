"""Rewards of several verifiers: weighted and summed, told apart, and none made up where a verifier failed."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from rl_runs import rl, verify, weights
from tiny_lm import save_policy

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict, can_score, route
from ringlite_cli.recipe.composition import Composition
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.composed import Composer, check_paid, left_out
from ringlite_cli.train.rl.reward import VerifiedReward
from ringlite_cli.train.rl.run import _Run

SPEC = json.dumps({"instruction_id_list": ["x"], "kwargs": [{}]})
RULES = Problem("i", "general", "say x", answer=SPEC, verifier="instructions")
OPEN = Problem("o", "general", "write", verifier="judge")
ASKED = Problem("q", "general", "who?", answer="Ada Lovelace of London", verifier="judge")
MATH = Problem("m", "math", "1+1", answer="2")
CODE = Problem("c", "code", "f", tests={"mode": "stdin"})
HALVES = {"general": {"instructions": 0.5, "reward-model": 0.25, "judge": 0.5}}
SCORES = {"instructions": 1.0, "reward-model": 0.8, "judge": 0.6, "math": 1.0, "code": 1.0}


class Scores:
    """A verifier that gives each route a number, or a verdict without one; it keeps what it was asked."""

    def __init__(self, **verdicts):
        self.verdicts, self.asked = verdicts, []

    def __call__(self, pairs):
        self.asked.append([(route(problem), response) for problem, response in pairs])
        return [self.verdicts.get(route(p).replace("-", "_"), Verdict("x", SCORES[route(p)])) for p, _ in pairs]


def rewarded(composition, problems, responses, verifier=None):
    """Return (rewards, columns, metrics) of one call, a response to each problem."""
    extra, metrics = {}, {}
    function = VerifiedReward(problems, verifier or Scores(), "", Composition.made(**composition))
    names = [problem.id for problem in problems]
    call = function(responses, names, log_extra=extra.__setitem__, log_metric=metrics.__setitem__)
    return asyncio.run(call), extra, metrics


def test_weights_multiply_and_are_summed_and_each_part_is_told():
    rewards, extra, metrics = rewarded({"weights": HALVES}, [RULES, OPEN, MATH], ["a", "b", "c"])
    assert rewards == [0.5 * 1.0 + 0.25 * 0.8 + 0.5 * 0.6, 0.25 * 0.8 + 0.5 * 0.6, 1.0]
    assert extra["reward_parts"] == [
        {"instructions": 1.0, "reward-model": 0.8, "judge": 0.6},
        {"judge": 0.6, "reward-model": 0.8},  # instructions need a specification, which this row lacks
        {},
    ]
    means = {name: value for name, value in metrics.items() if name.startswith("rewards/")}
    assert means == {
        "rewards/instructions/mean": 1.0, "rewards/instructions/std": 0.0, "rewards/judge/mean": 0.6,
        "rewards/judge/std": 0.0, "rewards/reward-model/mean": 0.8, "rewards/reward-model/std": 0.0,
    }  # fmt: skip


def test_a_verifier_without_a_weight_has_1_and_a_weight_of_0_measures_only():
    rewards, extra, _ = rewarded({"weights": {"general": {"reward-model": 0.5, "judge": 0}}}, [RULES, OPEN], ["a", "b"])
    assert rewards == [1.0 * 1.0 + 0.5 * 0.8, 0.5 * 0.8]
    assert extra["reward_parts"][1] == {"judge": 0.6, "reward-model": 0.8}


@pytest.mark.parametrize(
    ("name", "problem", "scores"),
    [
        ("judge", RULES, True), ("mine:reward", MATH, True), ("math", RULES, False), ("instructions", MATH, False),
        ("science", MATH, True), ("math", OPEN, False), ("code", MATH, False), ("math", CODE, False),
        ("code", CODE, True),
    ],
)  # fmt: skip
def test_a_verifier_scores_rows_that_have_what_it_reads(name, problem, scores):
    assert can_score(name, problem) is scores


def test_a_judge_beside_instructions_is_not_shown_their_specification_as_a_reference():
    parts = Composer(Composition.made(weights=HALVES)).parts(RULES)
    assert [(part.verifier, part.problem.answer) for part in parts] == [
        ("instructions", SPEC), ("reward-model", None), ("judge", None),
    ]  # fmt: skip
    composer = Composer(Composition.made(weights=HALVES))
    assert composer.parts(ASKED)[1].problem.answer == ASKED.answer
    assert [route(asked) for asked in composer.asked([RULES, MATH])] == [
        "instructions",
        "reward-model",
        "judge",
        "math",
    ]
    assert Composer().asked([RULES, MATH]) == [RULES, MATH]


FAILURES = [Verdict("error", 0.0, detail="down"), Verdict("sandbox error", 0.0), Verdict("x", float("nan"))]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_part_that_failed_twice_neither_pays_nor_counts_as_zero(failure):
    """TRL would sum the parts that are left: this response would lose a share of its group for no fault of its own."""
    verifier = Scores(judge=failure)
    rewards, extra, metrics = rewarded({"weights": HALVES}, [RULES, MATH], ["a", "b"], verifier)
    assert rewards == [None, 1.0]
    assert extra["reward_parts"][0] == {"instructions": 1.0, "reward-model": 0.8, "judge": None}
    assert extra["verdict"] == ["error", "x"]
    assert extra["detail"][0].startswith("judge: ")
    assert "rewards/judge/mean" not in metrics
    assert verifier.asked[1:] == [[("judge", "a")]]  # the part that failed was asked once more, and it alone


def test_a_part_that_failed_and_weighs_nothing_costs_nothing():
    composition = {"weights": {"general": {"judge": 0, "reward-model": 1}}}
    rewards, extra, _ = rewarded(composition, [OPEN], ["a"], Scores(judge=Verdict("error", 0.0)))
    assert rewards == [0.8]
    assert extra["reward_parts"] == [{"judge": None, "reward-model": 0.8}]


def test_a_timeout_of_the_response_is_its_own_fault_and_counts():
    rewards, *_ = rewarded({"weights": HALVES}, [RULES], ["a"], Scores(instructions=Verdict("timeout", 0.0)))
    assert rewards == [0.25 * 0.8 + 0.5 * 0.6]


LENGTH = {"words": 2, "span": 4, "most": 0.4}
REPEATS = {"ngram": 1, "free": 0.0, "full": 1.0, "most": 0.5}


def test_penalties_are_taken_off_the_open_ended_part_by_its_weight():
    """Four words, two past the target: half of 0.4; three of four repeat: three quarters of 0.5."""
    composition = {"weights": HALVES, "length_penalty": LENGTH, "repetition_penalty": REPEATS}
    rewards, extra, _ = rewarded(composition, [RULES, MATH], ["<think>w w w w w w w w</think>no no no no"] * 2)
    lost = {"penalty/length": -0.75 * 0.2, "penalty/repetition": -0.75 * 0.375}  # 0.75: reward model and judge
    assert {k: v for k, v in extra["reward_parts"][0].items() if k in lost} == pytest.approx(lost)
    assert rewards == [pytest.approx(1.0 + sum(lost.values())), 1.0]


def test_penalties_alone_need_no_weights_and_spare_what_verifies():
    rewards, extra, _ = rewarded({"length_penalty": LENGTH}, [OPEN, MATH, ASKED], ["a b c", "a b c", ""])
    assert rewards == [pytest.approx(0.5), 1.0, 0.6]
    assert extra["reward_parts"] == [
        {"judge": 0.6, "penalty/length": pytest.approx(-0.1)}, {}, {"judge": 0.6, "penalty/length": 0.0},
    ]  # fmt: skip


def test_a_penalty_keeps_to_its_verifiers_domains_and_reference():
    named = {"length_penalty": LENGTH | {"verifiers": ["math"], "domains": ["math"]}}
    assert rewarded(named, [OPEN, MATH], ["a b c", "a b c"])[0] == [0.6, pytest.approx(0.9)]
    elsewhere = {"length_penalty": LENGTH | {"verifiers": ["math"], "domains": ["code"]}}
    assert rewarded(elsewhere, [MATH], ["a b c"])[0] == [1.0]
    measured = {"length_penalty": LENGTH | {"reference": 1.0}}  # four words are the reference's length
    assert rewarded(measured, [ASKED, OPEN], ["a b c d", "a b c d"])[0] == [0.6, pytest.approx(0.4)]


def test_problems_that_no_weight_pays_for_are_refused():
    composer = Composer(Composition.made(weights={"general": {"judge": 0, "instructions": 1}}))
    check_paid(composer, [RULES, MATH])
    with pytest.raises(UserError, match=r"1 problems, as 'o', have no verifier of a weight above 0") as caught:
        check_paid(composer, [RULES, OPEN])
    assert (caught.value.where, caught.value.exit_code) == ("rewards.weights.general", 2)


def test_rows_that_a_weighted_verifier_cannot_score_are_counted():
    composer = Composer(Composition.made(weights=HALVES | {"math": {"math": 1, "code": 1}}))
    assert left_out(composer, [RULES, OPEN, ASKED, MATH, CODE]) == [
        "instructions is left out of the reward of 2 of 3 rows of general",
        "code is left out of the reward of 1 of 1 rows of math",
    ]
    assert left_out(Composer(), [RULES, OPEN]) == []


@pytest.mark.slow
def test_all_parts_of_a_response_are_verified_ahead_and_each_once():
    composition = Composition.made(weights={"math": {"math": 1.0, "science": 0.5}})
    with Verifiers(VerifierSettings(workers=1, isolation="none")) as verify:
        function = VerifiedReward([MATH], verify, "", composition)
        function.ahead("m", r"\boxed{2}")
        assert asyncio.run(function([r"\boxed{2}", r"\boxed{3}"], ["m", "m"])) == [1.5, 0.0]
        assert function.measured.overlap is not None
        assert {k: n for k, n in verify.counts().items() if k.startswith("math/")} == {
            "math/correct": 2,
            "math/wrong": 2,
        }


@pytest.mark.slow
def test_parts_reach_the_files_and_a_recipe_without_weights_trains_as_before(tmp_path):
    def both(pairs):
        return [Verdict("x", 0.25 + len(r) % 2 / 2) if p.verifier else verify([(p, r)])[0] for p, r in pairs]

    composition = Composition.made(weights={"math": {"math": 0.5, "judge": 0.5}})
    policy = save_policy(tmp_path / "policy", "ernie4_5_moe")
    rl(policy, tmp_path / "plain", steps=2)
    rl(policy, tmp_path / "none", steps=2, composition=Composition())
    rl(policy, tmp_path / "two", both, steps=2, composition=composition)
    plain, none = ((tmp_path / name / "rollouts.jsonl").read_bytes() for name in ("plain", "none"))
    assert plain == none
    assert b"reward_parts" not in plain
    a, b, c = (weights(tmp_path / name / "policy") for name in ("plain", "none", "two"))
    assert all((a[key] == b[key]).all() for key in a)
    assert any((a[key] != c[key]).any() for key in a)
    rows = read_jsonl(tmp_path / "two" / "rollouts.jsonl")
    assert Counter(tuple(row.get("reward_parts", ())) for row in rows if row["domain"] == "code").keys() == {()}
    first = read_jsonl(tmp_path / "two" / "metrics.jsonl")[0]["reward_parts"]
    of_first = [row for row in rows[:16] if row["domain"] == "math"]
    for row in of_first:
        assert row["reward"] == pytest.approx(0.5 * row["reward_parts"]["math"] + 0.5 * row["reward_parts"]["judge"])
    for name in ("math", "judge"):
        assert first[name] == pytest.approx(sum(row["reward_parts"][name] for row in of_first) / len(of_first))


def test_the_memory_of_a_weighted_reward_model_is_asked_for():
    seen = []
    verifier = SimpleNamespace(gpu_bytes=lambda problems, longest: seen.extend(map(route, problems)) or 7)
    weighted = SimpleNamespace(verify=verifier, problems=[RULES], composition=Composition(weights=HALVES))
    assert _Run._scorer_bytes(weighted, 10) == 7
    assert "reward-model" in seen
