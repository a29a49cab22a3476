"""Each seam from outside the package: an object in a module of its own, and what it is for happens."""

import json
import shutil
from pathlib import Path

import pytest
from rl_runs import PROBLEMS, TRL, rl, train, verify
from tiny_lm import save_policy

from ringlite_cli import domains
from ringlite_cli.data.sources import load_sources
from ringlite_cli.errors import UserError
from ringlite_cli.evals.compare import compare
from ringlite_cli.problems import Problem, chat_messages, is_route, route
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.recipe.schema import Source
from ringlite_cli.report.build import write_report
from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.stages.commands.status import status_text
from ringlite_cli.train.rl.run import ModelOptions, run_rl

REWARD = """
import os, time
from ringlite import Domain, Metric, Verdict, measures

@measures(Metric("words", "words of a response", "words", "responses", "How many words it has."))
def score(problem, response):
    if "raise" in response:
        raise ValueError("no such poem")
    if "sleep" in response:
        time.sleep(60)
    if "leave" in response:
        os._exit(3)
    if "verdict" in response:
        return Verdict("too long", 0.25, detail="by two lines")
    words = len(response.split())
    return {"reward": float(words == int(problem.answer or 3)), "detail": f"{words} words", "words": words}

HAIKU = Domain("haiku", verifier=score, suffix="Be brief.")
"""
ALGORITHM = """
from dataclasses import replace
from ringlite import Algorithm, Metric, Surrogate
from ringlite_cli.c3po.algorithms.gspo import ALGORITHM as GSPO, sequence_ratio

def watched(tokens):
    return replace(sequence_ratio(tokens), numbers={"length_bonus": tokens.mask * 2.0})

MINE = replace(GSPO, name="mine", surrogate=watched, weight=lambda n: 1.0, divisor=lambda step: step.budget,
               has_budget=True, metrics=(Metric("length_bonus", "bonus", "points", "tokens", "Two, always."),))
TAKEN = Algorithm("taken", divisor=lambda step: 1, metrics=(Metric("reward", "x", "", "tokens", "y"),))
"""
PROMPTS = """
class Source:
    def __init__(self, problems, row, mix, seed):
        self.problems, self.row, self.place = problems, row, 0
    def draw(self, count):
        self.place += count
        return [self.row(p) for p in self.problems[self.place - count : self.place]]
    def note(self, ids, rewards): ...
    def state(self):
        return {"place": self.place}
    def restore(self, state):
        self.place = state["place"]

def draw(prompts, trainer):
    ids = [trainer.processing_class.apply_chat_template(p, add_generation_prompt=True)["input_ids"] for p in prompts]
    end = trainer.processing_class.eos_token_id
    return {"prompt_ids": ids, "completion_ids": [[7, 8, 9 + i % 2, end] for i in range(len(ids))], "logprobs": None}

def nothing(**given):
    return object()
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3_moe")


@pytest.fixture
def verifiers():
    with Verifiers(VerifierSettings(workers=1, judge_timeout=1.0)) as made:
        yield made


def test_a_reward_scores_measures_and_fails_by_name(module, verifiers):
    name = module(REWARD, "score") + ":score"
    problem = Problem("1", "general", "Write four words.", answer="4", verifier=name)
    answers = ("one two three four", "one", "verdict", "raise", "sleep", "leave", "one two three four")
    right, wrong, own, raised, slept, left, again = verifiers([(problem, answer) for answer in answers])
    assert (right.verdict, right.reward, right.numbers, right.detail) == ("correct", 1.0, {"words": 4.0}, "4 words")
    assert (wrong.verdict, wrong.reward) == ("wrong", 0.0)
    assert (own.verdict, own.reward, own.detail) == ("too long", 0.25, "by two lines")
    assert (raised.verdict, raised.reward) == ("error", 0.0)
    assert "ValueError: no such poem" in raised.detail
    assert (slept.verdict, left.verdict, again.reward) == ("timeout", "error", 1.0)


def test_a_row_of_data_cannot_bring_its_own_code(module, verifiers):
    module(REWARD)  # there, but named by no recipe
    problem = Problem("1", "general", "?", verifier="os:system")
    assert not is_route(route(problem))
    with pytest.raises(UserError, match="no verifier 'os:system'"):
        verifiers([(problem, "echo")])


def test_a_domain_is_known_by_its_value(module, verifiers):
    name = module(REWARD, "HAIKU")
    domains.declare({"haiku": f"{name}:HAIKU"})
    problem = Problem("1", "haiku", "Write.", answer="2")
    assert route(problem) == f"{name}:score"
    assert verifiers([(problem, "two words")])[0].reward == 1.0
    assert chat_messages(problem, {})[0]["content"] == "Write.\nBe brief."
    assert chat_messages(problem, {"haiku": "Short!"})[0]["content"] == "Write.\nShort!"
    assert RlSettings.made(domain_mix={"haiku": 1.0}).domain_mix == {"haiku": 1.0}
    domains.declare({})
    with pytest.raises(UserError, match="'haiku' is not a domain"):
        RlSettings.made(domain_mix={"haiku": 1.0})


def test_an_adapter_reads_rows_and_says_which_it_cannot(module, tmp_path):
    fields = "{'prompt': row['ask'], 'answer': row['gold'], **row.get('more', {})}"
    name = module(f"DOMAIN = 'logic'\ndef read(row):\n    return {fields}", "read") + ":read"
    rows = [
        {"ask": "q", "gold": "a"},
        {"gold": "a"},
        {"ask": 3, "gold": "a"},
        {"ask": "q", "gold": "a", "more": {"x": 1}},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (read,) = load_sources(
        [Source(path=str(tmp_path / "rows.jsonl"), adapter=name)], seed=1, generators={}, max_unreadable=0.9
    )
    assert [(row.problem.prompt, row.problem.answer, row.problem.domain) for row in read.rows] == [("q", "a", "logic")]
    assert [drop.detail.partition(" ")[2] for drop in read.unreadable] == [
        "raised KeyError: 'ask'", "gave no dict with a text `prompt`",
        "gave 'x', which is none of prompt, domain, answer, tests, trace, verifier, labels",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_algorithm_trains_and_its_metric_is_seen_everywhere(module, policy, tmp_path):
    name = module(ALGORITHM, "MINE") + ":MINE"
    run = tmp_path / "run"
    rl(policy, run / "rl", steps=2, algorithm=name, updates_per_rollout=2)
    rows = read_jsonl(run / "rl" / "metrics.jsonl")
    assert [(row["algorithm"], row["tokens_trained"], row["length_bonus"]) for row in rows] == [(name, 60, 2.0)] * 2
    Manifest("rl", "rl", "running", "0", 1, {}, []).write(run / "rl")
    (run / "eval").mkdir()
    response = {"policy": "rl", "task": "math", "id": "q", "sample": 0, "reward": 1.0}
    (run / "eval" / "responses.jsonl").write_text(json.dumps(response) + "\n")
    assert "bonus 2 points" in status_text(run)
    assert "bonus" in write_report(run).read_text()
    again = shutil.copytree(run, tmp_path / "again")
    assert [row for row in compare(run, again)["training"] if row["metric"] == "bonus"] == [
        {"stage": "rl", "metric": "bonus", "unit": "points", "a": 2.0, "b": 2.0}
    ]


@pytest.mark.slow
def test_a_metric_may_not_take_a_column_s_name(module, policy, tmp_path):
    name = module(ALGORITHM, "TAKEN") + ":TAKEN"
    with pytest.raises(UserError, match="another column is called 'reward' already"):
        rl(policy, tmp_path / "rl", steps=1, algorithm=name)


@pytest.mark.slow
def test_a_reward_trains_and_its_metric_is_the_mean_over_responses(module, policy, tmp_path):
    name = module(REWARD, "score") + ":score"
    problems = [Problem(p.id, "general", p.prompt, answer="3", verifier=name) for p in PROBLEMS]
    with Verifiers(VerifierSettings(workers=1)) as verifiers:
        train(policy, problems, verifiers, tmp_path, steps=1, trl=TRL, prompts_per_step=4, token_budget=60,
              token_budget_scope="global", row_tokens=32)  # fmt: skip
    (row,) = read_jsonl(tmp_path / "metrics.jsonl")
    texts = [each["response"] for each in read_jsonl(tmp_path / "rollouts.jsonl")]
    assert row["words"] == pytest.approx(sum(len(text.split()) for text in texts) / len(texts))
    assert [each["key"] for each in json.loads((tmp_path / "columns.json").read_text())] == ["words"]


@pytest.mark.slow
def test_prompts_and_responses_come_from_where_the_recipe_says(module, policy, tmp_path):
    name = module(PROMPTS, "Source", "draw", "nothing")
    keys = {
        "prompts_per_step": 4, "token_budget": 20, "token_budget_scope": "global", "row_tokens": 64, "guard": None,
        "rollout_func": f"{name}:draw", "trl": TRL | {"max_steps": 2},
    }  # fmt: skip
    settings = RlSettings.made(**keys, sampling=f"{name}:Source")
    run_rl(policy, PROBLEMS, verify, tmp_path / "rl", settings, model=ModelOptions("float32", prompt_suffix={}))
    rows = read_jsonl(tmp_path / "rl" / "rollouts.jsonl")
    assert [row["prompt_id"] for row in rows][::4] == [f"p{i}" for i in range(8)]
    assert {row["tokens"] for row in rows} == {4}
    settings = RlSettings.made(**keys, sampling=f"{name}:nothing")
    with pytest.raises(UserError, match=r"nothing' returns has no method draw\(\)"):
        run_rl(policy, PROBLEMS, verify, tmp_path / "none", settings)


RULE = """
import torch
from ringlite_cli.c3po.mismatch import Rule

MINE = Rule("mine", weigh=lambda drawn: torch.where(drawn.log_k.abs() < 1e-3, 1.0, 0.0), masks=True)
NONE = object()
"""


@pytest.mark.slow
def test_a_mismatch_rule_weighs_tokens(module, policy, tmp_path):
    """The trainer's own model draws: tokens of this rollout pass, older ones do not."""
    name = module(RULE, "MINE", "NONE")
    keys = {"steps": 4, "router_balance_coef": 0.0, "router_z_loss_coef": 0.0}
    keys["rollouts"] = {"mode": "carry", "in_flight": 8}
    rl(policy, tmp_path / "rl", mismatch={"rule": f"{name}:MINE"}, **keys)
    rows = read_jsonl(tmp_path / "rl" / "metrics.jsonl")
    for row in rows:
        old = sum(count for age, count in row["tokens_by_age"].items() if age != "0")
        assert row["mismatch_masked"] == pytest.approx(old / row["tokens_trained"], abs=0.1)
    assert rows[-1]["mismatch_masked"] > 0
    with pytest.raises(UserError, match="NONE' is of type object, not Rule"):
        rl(policy, tmp_path / "none", mismatch={"rule": f"{name}:NONE"}, **keys)
