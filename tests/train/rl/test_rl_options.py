"""run_rl with the budget moved, refilled, prompts drawn by difficulty, adapters and bf16."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from rl_runs import rl, verify, weights
from safetensors.torch import load_file
from tiny_lm import save_policy
from transformers import AutoModelForCausalLM

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Verdict
from ringlite_cli.runs.catalogue import timed
from ringlite_cli.runs.files import read_jsonl


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "ernie4_5_moe")


def rows_of(out: Path) -> list[dict]:
    return read_jsonl(out / "metrics.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "dr_grpo"])
def test_other_algorithms_train_every_response(policy, tmp_path, algorithm):
    rl(policy, tmp_path, algorithm=algorithm, steps=2)
    for row in rows_of(tmp_path):
        assert row["algorithm"] == algorithm
        assert row["tokens_trained"] == row["tokens_generated"] == row["budget"] > 60


@pytest.mark.slow
def test_a_linear_budget_moves_with_its_divisor(policy, tmp_path):
    rl(policy, tmp_path, budget_schedule="linear", token_budget_end=100, budget_steps=2)
    rows = rows_of(tmp_path)
    assert [row["budget"] for row in rows] == [row["tokens_trained"] for row in rows] == [60, 80, 100, 100]
    assert [row.get("budget_change") for row in rows] == [
        None, "60 -> 80: step 1 of 2", "80 -> 100: step 2 of 2", None,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 10**9])
def test_other_algorithms_have_no_use_for_a_budget(policy, tmp_path, budget):
    rl(policy, tmp_path, algorithm="grpo", token_budget=budget, steps=1)
    (row,) = rows_of(tmp_path)
    assert row["tokens_trained"] == row["tokens_generated"]
    assert row["row_tokens_max"] <= 32  # row_tokens, which rows planned for a budget of 1 would be far above


@pytest.mark.slow
def test_a_step_that_does_not_fill_its_budget_warns_once(policy, tmp_path, caplog):
    rl(policy, tmp_path / "full", steps=2)
    assert "tokens of its budget" not in caplog.text
    rl(policy, tmp_path / "short", refusing, steps=3, drop_uninformative=True)
    short = [row for row in rows_of(tmp_path / "short") if row["budget_fill"] < 1]
    (warning,) = [r.getMessage() for r in caplog.records if "tokens of its budget" in r.getMessage()]
    assert warning.startswith(f"step {short[0]['step']} trains {short[0]['tokens_trained']} of the 60 tokens")
    assert len(short) > 1


def refusing(pairs):
    """Only a few groups have both kinds of response."""
    return [Verdict("x", float("w1" in text and int(problem.id[1:]) % 2)) for problem, text in pairs]


@pytest.mark.slow
def test_a_budget_that_is_not_filled_is_refilled(policy, tmp_path):
    options = {"drop_uninformative": True, "steps": 3}
    rl(policy, tmp_path / "accept", refusing, **options)
    rl(policy, tmp_path / "refill", refusing, undershoot="refill", refill_rounds=4, **options)
    short, filled = rows_of(tmp_path / "accept"), rows_of(tmp_path / "refill")
    assert sum(row["budget_fill"] for row in filled) > sum(row["budget_fill"] for row in short)
    assert any(row["tokens_refilled"] for row in filled)
    for row in filled:
        rollouts = [r for r in read_jsonl(tmp_path / "refill" / "rollouts.jsonl") if r["step"] == row["step"]]
        assert sum(r["tokens"] for r in rollouts) == row["tokens_generated"]
        by_domain = row["tokens_by_domain"].values()
        for name, total in (
            ("generated", "generated"), ("kept", "trained"), ("dropped", "dropped"), ("cut", "cut"),
            ("refilled", "refilled"),
        ):  # fmt: skip
            assert sum(d[name] for d in by_domain) == row[f"tokens_{total}"]
        cut = [r for r in rollouts if 0 < r["tokens_kept"] < r["tokens"]]
        assert sum(r["tokens"] - r["tokens_kept"] for r in cut) == row["tokens_cut"]


@pytest.mark.slow
def test_prompts_by_difficulty_and_an_adaptive_budget_resume_to_the_same_weights(policy, tmp_path):
    options = {
        "sampling": "difficulty",
        "budget_schedule": "adaptive",
        "token_budget_end": 90,
        "budget_dead_band": 0.0,
        "undershoot": "refill",
        "drop_uninformative": True,
    }
    whole = rl(policy, tmp_path / "whole", **options)
    out = tmp_path / "stopped"
    rl(policy, out, **options)
    for name in ("checkpoint-4", "../policy"):
        shutil.rmtree(out / "checkpoints" / name)
    resumed = rl(policy, out, **options)
    one, other = (
        [{k: v for k, v in r.items() if k not in timed("rl")} for r in rows_of(o)] for o in (tmp_path / "whole", out)
    )
    assert one == other
    for name, tensor in weights(whole.policy).items():
        assert torch.equal(tensor, weights(resumed.policy)[name]), name


@pytest.mark.slow
def test_an_adapter_is_trained_and_written_merged(policy, tmp_path):
    router = ["mlp.gate.weight"]  # no linear layer, and its losses are on
    result = rl(policy, tmp_path, lora={"r": 4, "target_parameters": router}, trl={"beta": 0.01}, steps=2)
    before, after = load_file(policy / "model.safetensors"), weights(result.policy)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("embed_tokens" in name for name in changed)
    rows = rows_of(tmp_path)
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert rows[1]["kl"] > 0  # against the policy with its adapter off


def test_rollouts_do_not_obey_the_folders_generation_settings(policy, tmp_path):
    """Beams, penalties, forced and suppressed tokens: what is drawn is the policy, and what is written keeps them."""
    set_up = {
        "do_sample": True, "min_p": 0.4, "typical_p": 0.2, "top_k": 2, "no_repeat_ngram_size": 1, "num_beams": 2,
        "suppress_tokens": list(range(10, 40)), "begin_suppress_tokens": [5], "forced_eos_token_id": 56,
        "bad_words_ids": [[41], [42]], "min_new_tokens": 8, "sequence_bias": [[[44], 5.0]], "epsilon_cutoff": 0.01,
        "exponential_decay_length_penalty": [2, 1.5], "encoder_repetition_penalty": 1.5, "eos_token_id": [56],
    }  # fmt: skip
    given = Path(shutil.copytree(policy, tmp_path / "given"))
    (given / "generation_config.json").write_text(json.dumps(set_up))
    options = {"router_balance_coef": 0.0, "router_z_loss_coef": 0.0, "steps": 1}
    result = rl(given, tmp_path / "one", **options)
    rl(policy, tmp_path / "two", **options)
    one, two = (read_jsonl(tmp_path / name / "rollouts.jsonl") for name in ("one", "two"))
    assert [row["response"] for row in one] == [row["response"] for row in two]
    assert json.loads((result.policy / "generation_config.json").read_text()) == set_up


@pytest.mark.slow
@pytest.mark.parametrize(
    "lora",
    [
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]},
    ],
)
def test_the_written_policy_is_the_adapted_model_of_the_last_checkpoint(policy, tmp_path, lora):
    options = {"router_balance_coef": 0.0, "router_z_loss_coef": 0.0, "trl": {"learning_rate": 0.05}}
    result = rl(policy, tmp_path, lora={"r": 4, **lora}, steps=2, **options)
    base = AutoModelForCausalLM.from_pretrained(policy)
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        before = base(input_ids=ids).logits.clone()
        adapted = PeftModel.from_pretrained(base, tmp_path / "checkpoints" / "checkpoint-2")(input_ids=ids).logits
        written = AutoModelForCausalLM.from_pretrained(result.policy)(input_ids=ids).logits
    assert (adapted - before).abs().max() > 1e-3
    torch.testing.assert_close(written, adapted, atol=1e-4, rtol=1e-4)


def test_dropout_of_an_adapter_is_refused(policy, tmp_path):
    with pytest.raises(UserError, match="RL trains without dropout"):
        rl(policy, tmp_path, lora={"r": 4, "lora_dropout": 0.1})


def test_router_coefficients_with_an_adapter_alone_are_refused(policy, tmp_path):
    with pytest.raises(UserError, match="no gradient reaches the router"):
        rl(policy, tmp_path, lora={"r": 4, "target_modules": ["q_proj", "v_proj"]})


@pytest.mark.slow
def test_a_frozen_router_stays(policy, tmp_path):
    result = rl(policy, tmp_path, freeze_router=True, router_balance_coef=0.0, router_z_loss_coef=0.0, steps=2)
    before, after = load_file(policy / "model.safetensors"), weights(result.policy)
    gates = [name for name in before if ".gate.weight" in name]
    assert gates
    assert all(torch.equal(before[name], after[name]) for name in gates)
    assert all({"router_load_max", "router_entropy", "router_z"} <= row.keys() for row in rows_of(tmp_path))
    with pytest.raises(UserError, match="no gradient reaches the router"):
        rl(policy, tmp_path / "both", freeze_router=True)


@pytest.mark.slow
def test_small_steps_do_not_round_away_in_bf16(policy, tmp_path):
    """At 1e-6 a weight of 0.1 moves by less than half its last bf16 digit; the weights that are trained do move."""
    options = {"dtype": "bfloat16", "steps": 1, "router_balance_coef": 0.0, "router_z_loss_coef": 0.0}
    result = rl(policy, tmp_path, trl={"learning_rate": 1e-6, "save_steps": 1}, **options)
    before = load_file(policy / "model.safetensors")
    trained = load_file(tmp_path / "checkpoints" / "checkpoint-1" / "model.safetensors")
    name = next(n for n in before if "q_proj" in n)
    assert trained[name].dtype == torch.float32
    moved = (trained[name] - before[name]).abs()
    assert 0 < moved.max() < 3e-6
    assert (moved > 0).float().mean() > 0.5
    assert weights(result.policy)[name].dtype == torch.bfloat16


@pytest.mark.slow
def test_auto_is_the_policy_s_own_dtype_with_float32_weights_in_training(policy, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(policy, half)
    AutoModelForCausalLM.from_pretrained(policy, dtype=torch.bfloat16).save_pretrained(half)
    options = {"dtype": "auto", "steps": 1, "router_balance_coef": 0.0, "router_z_loss_coef": 0.0}
    for start, written in ((half, torch.bfloat16), (policy, torch.float32)):
        out = tmp_path / str(written)
        result = rl(start, out, trl={"learning_rate": 1e-6, "save_steps": 1}, **options)
        trained = load_file(out / "checkpoints" / "checkpoint-1" / "model.safetensors")
        assert {x.dtype for x in trained.values()} == {torch.float32}
        assert {x.dtype for x in weights(result.policy).values()} == {written}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "ppo"}, "algorithm: input should be .*, not 'ppo'"),
        ({"algorithm": "grpo", "undershoot": "refill"}, "undershoot, budget_schedule: grpo trains every response"),
        ({"budget_schedule": "linear"}, "token_budget_end: a linear budget needs an end"),
        ({"mismatch": {"cap": -1.0}}, "mismatch.cap: input should be greater than 0, not -1.0"),
        ({"mismatch": {"rule": "icepopp"}}, "mismatch.rule: input should be .*; did you mean 'icepop'"),
        ({"importance_cap": -1.0}, "mismatch.cap: input should be greater than 0, not -1.0"),
        ({"importance_cap": 2.0, "mismatch": {}}, "importance_cap: 2.0 is mismatch: {rule: truncate, cap: 2.0}; give"),
        ({"undershoot": "wait"}, "undershoot: input should be 'accept' or 'refill', not 'wait'"),
        ({"undershoot": "refill", "refill_rounds": 0}, "refill_rounds: input should be greater than 0, not 0"),
        ({"lora": {"rank": 4}}, "lora: 'rank' is not a key here"),
    ],
)
def test_options_that_cannot_work_are_refused(policy, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        rl(policy, tmp_path / "out", verify, **options)
