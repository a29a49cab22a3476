"""RL of a policy whose chat template opens the thought: a response cut inside it earns nothing."""

from pathlib import Path

import pytest
import trl as trl_package
from rl_runs import rl, verify
from tiny_lm import EOS, save_policy, tiny_tokenizer

from ringlite_cli.chat.templates import with_defaults
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.thoughts import answer_part
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


def test_the_reward_sees_where_a_thought_ends_whose_tags_are_special_tokens(tmp_path):
    """As in Magistral, whose decoded responses would else be thought and answer in one."""
    policy = save_policy(tmp_path / "policy", "llama", vocab_size=66)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    tokenizer.save_pretrained(policy)
    opens, closes = tokenizer.convert_tokens_to_ids(["[THINK]", "[/THINK]"])
    seen = []

    def rollout(prompts, trainer):
        made = [[opens, 3, closes, 4 + i % 2, EOS] for i in range(len(prompts))]
        return {"prompt_ids": [[59, 1, 60]] * len(prompts), "completion_ids": made, "logprobs": [[0.0] * 5] * len(made)}

    def recording(pairs):
        seen.extend(answer_part(text).split() for _, text in pairs)
        return verify(pairs)

    rl(policy, tmp_path / "out", recording, steps=1, rollout_func=rollout, router_balance_coef=0, router_z_loss_coef=0)
    assert {tuple(words) for words in seen} == {("w4",), ("w5",)}
    rows = read_jsonl(tmp_path / "out" / "rollouts.jsonl")
    assert all("[/THINK]" in row["response"] and "<eos>" not in row["response"] for row in rows)
