"""RL of a policy whose chat template opens the thought: a response cut inside it earns nothing."""

from pathlib import Path

import pytest
import trl as trl_package
from rl_runs import rl, verify
from tiny_lm import save_policy, tiny_tokenizer

from ringlite_cli.chat.templates import with_defaults
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.opened_thoughts import opened_by_template

TEMPLATES = Path(trl_package.__file__).parent / "chat_templates"


def with_template(tokenizer, name):
    tokenizer.chat_template = (TEMPLATES / name).read_text(encoding="utf-8")
    return tokenizer


@pytest.mark.parametrize(
    ("name", "options", "opened"),
    [
        ("deepseek_r1_distill.jinja", {}, "<think>"),
        ("qwen3.jinja", {}, ""),
        ("qwen3.jinja", {"enable_thinking": False}, ""),  # an empty thought, closed
        ("qwen3_6.jinja", {}, "<think>"),
        ("qwen3_6.jinja", {"enable_thinking": False}, ""),
        ("qwen2_5.jinja", {}, ""),
    ],
)
def test_the_template_tells_whether_a_thought_is_open(name, options, opened):
    tokenizer = with_template(tiny_tokenizer(), name)
    tokenizer.chat_template = with_defaults(tokenizer.chat_template, options)
    assert opened_by_template(tokenizer) == opened


def test_a_thought_whose_tags_are_special_tokens_is_open_too():
    tokenizer = with_template(tiny_tokenizer(), "deepseek_r1_distill.jinja")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    assert opened_by_template(tokenizer) == "<think>"


@pytest.mark.slow
def test_rl_gives_the_verifier_the_whole_thought_and_keeps_what_was_opened(tmp_path):
    policy = save_policy(tmp_path / "policy", "ernie4_5_moe")
    with_template(tiny_tokenizer(), "deepseek_r1_distill.jinja").save_pretrained(policy)
    seen = []

    def recording(pairs):
        seen.extend(text for _, text in pairs)
        return verify(pairs)

    rl(policy, tmp_path / "out", recording, steps=1)
    rows = read_jsonl(tmp_path / "out" / "rollouts.jsonl")
    assert seen
    assert all(text.startswith("<think>\n") for text in seen)
    assert {row["thought_opened"] for row in rows} == {"<think>"}
    assert not any(row["response"].startswith("<think>") for row in rows)
