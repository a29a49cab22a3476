"""Prompts and responses that do not fit into the model are refused before anything is trained."""

import json
from dataclasses import replace

import pytest
from rl_runs import PROBLEMS, TRL, train, verify
from tiny_lm import save_policy

from ringlite_cli.errors import UserError
from ringlite_cli.train.base_model import context_of


@pytest.fixture
def policy(tmp_path):
    return save_policy(tmp_path / "policy", "llama", max_position_embeddings=48)


def start(policy, tmp_path, problems, completion):
    keys = {"prompts_per_step": 4, "token_budget": 60, "row_tokens": 64, "prompt_suffix": {}, "steps": 1}
    train(policy, problems, verify, tmp_path / "out", trl=TRL | {"max_completion_length": completion}, **keys)


def test_a_prompt_that_leaves_too_little_room_is_named(policy, tmp_path):
    long = replace(PROBLEMS[0], id="long", prompt=" ".join(["w1"] * 40))
    with pytest.raises(
        UserError, match=r"1 of 31 prompts are too long: 'long' has 42 tokens.*lower it to 6, leave such"
    ):
        start(policy, tmp_path, [*PROBLEMS, long], 12)
    with pytest.raises(UserError, match=r"30 of 30 prompts are too long.*of max_completion_length"):
        start(policy, tmp_path, PROBLEMS, 48)
    assert not (tmp_path / "out").exists()


def test_the_context_of_a_composite_config_is_that_of_its_text_part(policy):
    config = json.loads((policy / "config.json").read_text())
    text = {key: config[key] for key in ("hidden_size", "num_hidden_layers", "vocab_size")}
    text |= {"max_position_embeddings": 96, "model_type": "qwen2_5_vl_text"}
    (policy / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", "text_config": text}))
    assert context_of(policy) == 96
