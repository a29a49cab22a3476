"""Prompts and responses that do not fit into the model are refused before anything is trained."""

import json
from dataclasses import replace

import pytest
from rl_runs import PROBLEMS, TRL, train, verify
from tiny_lm import save_policy

from ringlite_cli.errors import UserError
from ringlite_cli.runs.rollouts import read_rollouts
from ringlite_cli.train.base_model import context_of


@pytest.fixture
def policy(tmp_path):
    return save_policy(tmp_path / "policy", "llama", max_position_embeddings=48)


def start(policy, tmp_path, problems, completion, **keys):
    keys = {"prompts_per_step": 4, "token_budget": 60, "row_tokens": 64, "prompt_suffix": {}, "steps": 1} | keys
    return train(policy, problems, verify, tmp_path / "out", trl=TRL | {"max_completion_length": completion}, **keys)


def longer(number):
    return [replace(PROBLEMS[0], id=f"long-{n}", prompt=" ".join(["w1"] * 40)) for n in range(number)]


def test_prompts_that_leave_too_little_room_are_refused_where_they_are_many(policy, tmp_path):
    said = r"4 of 34 prompts are too long: 'long-0' has 42 tokens.*lower it to 6, take a model"
    with pytest.raises(UserError, match=said):
        start(policy, tmp_path, [*PROBLEMS, *longer(4)], 12)
    with pytest.raises(UserError, match=r"30 of 30 prompts are too long.*of max_completion_length"):
        start(policy, tmp_path, PROBLEMS, 48, max_left_out=0.99)
    assert not (tmp_path / "out").exists()


def test_a_domain_whose_prompts_were_all_left_out_is_said_to_be_that(policy, tmp_path):
    """Its problems are in the data: what is wrong is their length."""
    problems = [replace(each, domain="math") for each in PROBLEMS] + [replace(longer(1)[0], domain="code")]
    said = r"domain_mix: all prompts of 'code' are too long and were left out; lower .*, or leave it out of the mix"
    with pytest.raises(UserError, match=said):
        start(policy, tmp_path, problems, 12, domain_mix={"math": 0.5, "code": 0.5})
    with pytest.raises(UserError, match="no problem of domain 'science' in the data"):
        start(policy, tmp_path, problems, 12, domain_mix={"math": 0.5, "science": 0.5})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_few_of_them_are_left_out_and_counted(policy, tmp_path, caplog):
    result = start(policy, tmp_path, [*PROBLEMS, *longer(3)], 12, steps=9)
    assert result.prompts_left_out == 3
    asked = {row["prompt_id"] for row in read_rollouts(tmp_path / "out")}
    assert asked == {problem.id for problem in PROBLEMS}
    assert "3 of 33 prompts are too long" in caplog.text
    assert "left out: long-0, long-1, long-2" in caplog.text


def test_the_context_of_a_composite_config_is_that_of_its_text_part(policy):
    config = json.loads((policy / "config.json").read_text())
    text = {key: config[key] for key in ("hidden_size", "num_hidden_layers", "vocab_size")}
    text |= {"max_position_embeddings": 96, "model_type": "qwen2_5_vl_text"}
    (policy / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", "text_config": text}))
    assert context_of(policy) == 96
