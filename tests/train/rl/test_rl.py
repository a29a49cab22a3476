"""run_rl from a tiny policy: what it leaves, that it resumes to the same weights, and what it refuses."""

import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from rl_runs import PROBLEMS, TRL, rl, train, verify, weights
from tiny_lm import save_policy
from transformers import AutoModelForCausalLM, AutoTokenizer

from ringlite_cli.c3po.entropy import policy_entropy
from ringlite_cli.errors import Interrupted, UserError, WorkFailed
from ringlite_cli.problems import Verdict
from ringlite_cli.runs.catalogue import keys, timed
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.trainer import C3POTrainer

ROW_FIELDS = {
    *("step", "loss", "reward", "reward_by_domain", "grad_norm", "entropy", "kl", "clip_fraction", "lr", "budget"),
    *("tokens_generated", "tokens_trained", "tokens_dropped", "response_tokens_mean", "response_tokens_max"),
    *("truncated_fraction", "informative_fraction", "row_fill", "rollout_seconds", "reward_seconds"),
    *("update_seconds", "step_seconds", "router_balance", "router_z", "budget_fill", "reference_seconds"),
    *("tokens_forwarded", "tokens_per_second_per_gpu", "update_tokens_per_second_per_gpu"),
    *(f"{phase}_share" for phase in ("generation", "sync", "reward", "reference", "update", "idle")),
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "ernie4_5_moe")


class Timed:
    """`verify` as the verifiers are: asynchronous, with the seconds that each domain took."""

    async def verify_async(self, pairs):
        return verify(pairs), {problem.domain: 0.5 for problem, _ in pairs}


@pytest.fixture(scope="module")
def finished(policy, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return out, rl(policy, out, Timed(), trl={"beta": 0.01, "entropy_coef": 1e-3})


@pytest.fixture(scope="module")
def plain(policy, tmp_path_factory):
    """An undisturbed run, to compare with and to copy: its folder and its result."""
    out = tmp_path_factory.mktemp("plain")
    return out, rl(policy, out)


@pytest.mark.slow
def test_every_step_leaves_a_row_with_every_number(finished):
    out, result = finished
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row.keys() >= ROW_FIELDS
        assert row.keys() <= set(keys("rl")), "the catalogue of metrics lacks a column"
        assert row["tokens_trained"] == row["budget"] == 60
        assert row["tokens_generated"] == row["tokens_trained"] + row["tokens_dropped"]
        assert 0 < row["row_fill"] <= 1
        assert row["step_seconds"] >= row["rollout_seconds"] + row["reward_seconds"] > 0
        assert sum(row[name] for name in row if name.endswith("_share") and name != "rollout_tail_share") <= 1 + 1e-6
        assert row["reference_share"] > 0 < row["update_share"]
        assert "mfu" not in row, "a CPU has no peak to compare with"
        assert set(row["reward_by_domain"]) <= {"math", "code"}
        assert row["reward_seconds_by_domain"] == dict.fromkeys(row["reward_by_domain"], 0.5)
        drawn = [r for r in read_jsonl(out / "rollouts.jsonl") if r["step"] == row["step"]]
        assert row["verdicts_by_domain"] == {
            domain: dict(Counter(r["verdict"] for r in drawn if r["domain"] == domain))
            for domain in {r["domain"] for r in drawn}
        }
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)  # the policy is still its reference
    assert rows[-1]["kl"] > 0
    assert result.tokens_trained == 240
    assert result.tokens_generated == sum(row["tokens_generated"] for row in rows)


def test_every_response_is_in_rollouts(finished):
    out, _ = finished
    rollouts, rows = read_jsonl(out / "rollouts.jsonl"), read_jsonl(out / "metrics.jsonl")
    assert len(rollouts) == 4 * 16
    for row in rows:
        mine = [r for r in rollouts if r["step"] == row["step"]]
        assert sum(r["tokens"] for r in mine) == row["tokens_generated"]
        assert sum(r["tokens_kept"] for r in mine) == row["tokens_trained"]
        assert sum(r["reward"] for r in mine) / len(mine) == pytest.approx(row["reward"])
    first = rollouts[0]
    assert first["verdict"] in ("correct", "wrong")
    assert first["prompt"] == next(p.prompt for p in PROBLEMS if p.id == first["prompt_id"])
    for group in (rollouts[i : i + 4] for i in range(0, len(rollouts), 4)):
        assert len({r["prompt_id"] for r in group}) == 1
        assert sum(r["advantage"] for r in group) == pytest.approx(0, abs=1e-4)


def test_the_policy_is_a_plain_folder_that_generates(finished):
    _, result = finished
    model, tokenizer = (c.from_pretrained(result.policy) for c in (AutoModelForCausalLM, AutoTokenizer))
    assert model.config.output_router_logits is False
    inputs = tokenizer(["w1 w2", "w3"], return_tensors="pt", padding=True)
    assert model.generate(**inputs, max_new_tokens=2).shape[1] >= 3
    assert tokenizer.chat_template


@pytest.mark.slow
def test_the_logged_entropy_is_the_policy_s(policy, tmp_path):
    sampled = []

    def rollout(prompts, trainer):
        ids = trainer.processing_class.apply_chat_template(prompts, add_generation_prompt=True)["input_ids"]
        sampled.extend((prompt, [(7 * i + j) % 50 for j in range(4 + i % 9)]) for i, prompt in enumerate(ids))
        return {"prompt_ids": ids, "completion_ids": [response for _, response in sampled], "logprobs": None}

    rl(policy, tmp_path, steps=1, rollout_func=rollout)
    (row,) = read_jsonl(tmp_path / "metrics.jsonl")
    kept = [rollout["tokens_kept"] for rollout in read_jsonl(tmp_path / "rollouts.jsonl")]
    samples = [(prompt, response[:n]) for (prompt, response), n in zip(sampled, kept, strict=True) if n]
    measured = policy_entropy(AutoModelForCausalLM.from_pretrained(policy), samples, 64)
    tokens = sum(len(m.log_probs) for m in measured)
    assert tokens == row["tokens_trained"] == 60
    assert row["entropy"] == pytest.approx(sum(m.entropy * len(m.log_probs) for m in measured) / tokens, abs=1e-5)


@pytest.mark.slow
def test_a_run_that_lost_its_tail_goes_on_to_the_same_weights(policy, tmp_path, plain):
    undisturbed, whole = plain
    broken = tmp_path / "broken"

    def dies(pairs):
        if len(read_jsonl(broken / "metrics.jsonl")) == 3:
            raise RuntimeError("power cut")
        return verify(pairs)

    with pytest.raises(Exception, match="power cut"):
        rl(policy, broken, dies)
    assert [row["step"] for row in read_jsonl(broken / "metrics.jsonl")] == [1, 2, 3]
    torn = broken / "checkpoints" / "checkpoint-3"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_st')  # killed while saving
    result = rl(policy, broken)

    assert (result.steps, result.tokens_trained) == (whole.steps, whole.tokens_trained)
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        again, once = (read_jsonl(folder / name) for folder in (broken, undisturbed))
        unlike = timed("rl")
        assert [{k: v for k, v in r.items() if k not in unlike} for r in again] == [
            {k: v for k, v in r.items() if k not in unlike} for r in once
        ]
    for name, tensor in weights(whole.policy).items():
        assert torch.equal(tensor, weights(result.policy)[name]), name


@pytest.mark.slow
def test_loading_a_checkpoint_is_no_part_of_the_step_behind_it(policy, tmp_path, monkeypatch):
    """A step of 11 s was told as one of 42: the optimizer's 30 GB were read in it."""
    rl(policy, tmp_path, steps=2)
    plain, clock, ahead = C3POTrainer._load_from_checkpoint, time.perf_counter, [0.0]

    def for_an_hour(trainer, *args):
        ahead[0] += 3600
        plain(trainer, *args)

    monkeypatch.setattr(C3POTrainer, "_load_from_checkpoint", for_an_hour)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + ahead[0])
    rl(policy, tmp_path, steps=3)
    assert ahead == [3600]
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[2]["step_seconds"] < 3600


@pytest.mark.slow
def test_ctrl_c_finishes_the_step_saves_and_goes_on(policy, tmp_path, plain):
    _, whole = plain  # how often a run saves changes nothing of it
    steps = []

    def stop_in_step_2(row):
        steps.append(row["step"])
        if row["step"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped after step 2 of 4; the same command goes on"):
        rl(policy, tmp_path / "stopped", trl={"save_steps": 100}, on_step=stop_in_step_2)
    assert steps == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "stopped" / "policy").exists()
    result = rl(policy, tmp_path / "stopped", trl={"save_steps": 100})
    assert result.steps == 4
    for name, tensor in weights(whole.policy).items():
        assert torch.equal(tensor, weights(result.policy)[name]), name


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(policy, plain):
    out, first = plain
    before = weights(first.policy)
    second = rl(policy, out, lambda pairs: pytest.fail("asked again"))
    assert second == first
    assert all(torch.equal(t, before[n]) for n, t in weights(second.policy).items())


@pytest.mark.slow
def test_a_fresh_run_forgets_the_earlier_one(policy, tmp_path, plain):
    out = Path(shutil.copytree(plain[0], tmp_path / "out"))
    assert rl(policy, out, steps=2, resume=False).steps == 2
    assert {r["step"] for r in read_jsonl(out / "rollouts.jsonl")} == {1, 2}


@pytest.mark.slow
def test_several_updates_train_disjoint_selections_off_policy(policy, tmp_path):
    result = rl(policy, tmp_path, updates_per_rollout=2, trl={"learning_rate": 2e-2})
    rows, rollouts = read_jsonl(tmp_path / "metrics.jsonl"), read_jsonl(tmp_path / "rollouts.jsonl")
    assert [bool(row["tokens_generated"]) for row in rows] == [True, False, True, False]
    assert result.tokens_generated == sum(r["tokens"] for r in rollouts)
    assert result.tokens_generated == result.tokens_trained + result.tokens_dropped
    for row in rows:
        assert sum(r["tokens_kept"] for r in rollouts if r["step"] == row["step"]) == row["tokens_trained"]
    assert [row["clip_fraction"] > 0 for row in rows] == [False, True, False, True]
    assert ["reward_overlap" in row for row in rows] == [True, False, True, False]


@pytest.mark.slow
def test_a_verifier_s_failure_is_retried_and_never_a_wrong_answer(policy, tmp_path):
    calls = []

    def flaky(pairs):
        calls.append(len(pairs))
        if len(calls) % 2:  # the first call of a step: two responses fail, one of them for good
            return [Verdict("error", 0.0), Verdict("sandbox error", 0.0), *verify(pairs[2:])]
        return [Verdict("sandbox error", 0.0), *verify(pairs[1:])]

    rl(policy, tmp_path, flaky, steps=2, token_budget=150)
    assert calls == [16, 2, 16, 2]
    rows, rollouts = read_jsonl(tmp_path / "metrics.jsonl"), read_jsonl(tmp_path / "rollouts.jsonl")
    assert [row["responses_without_verdict"] for row in rows] == [1, 1]
    for step in (1, 2):
        failed, *others = [r for r in rollouts if r["step"] == step]
        assert (failed["verdict"], failed["reward"], failed["advantage"], failed["tokens_kept"]) == (
            "sandbox error", None, 0.0, 0,
        )  # fmt: skip
        assert all(r["verdict"] in ("correct", "wrong") for r in others)


@pytest.mark.slow
@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_no_reward(policy, tmp_path, reward):
    def broken(pairs):
        return [Verdict("correct", reward) if "w1" in text else Verdict("wrong", 0.0) for _, text in pairs]

    rl(policy, tmp_path, broken, steps=2, drop_uninformative=False)
    rows, rollouts = read_jsonl(tmp_path / "metrics.jsonl"), read_jsonl(tmp_path / "rollouts.jsonl")
    for row in rows:
        mine = [r for r in rollouts if r["step"] == row["step"]]
        skipped = [r for r in mine if r["reward"] is None]
        assert len(skipped) == row["responses_without_verdict"] > 0
        assert all(r["verdict"] == "correct" and r["tokens_kept"] == 0 for r in skipped)
        assert row["reward"] == 0.0
        assert abs(row["loss"]) < 1


@pytest.mark.slow
def test_a_verifier_that_raises_stops_the_run_with_what_it_said(policy, tmp_path):
    def raises(pairs):
        raise KeyError("no tests for p3")

    with pytest.raises(WorkFailed, match=r"the verifier raised KeyError: 'no tests for p3'; no reward is made up"):
        rl(policy, tmp_path, raises)
    assert not (tmp_path / "policy").exists()


@pytest.mark.slow
def test_a_verifier_that_never_works_stops_the_run(policy, tmp_path):
    with pytest.raises(WorkFailed, match="no response of step 1 got a verdict"):
        rl(policy, tmp_path, lambda pairs: [Verdict("error", 0.0)] * len(pairs))


@pytest.mark.slow
def test_a_verifier_that_loses_rows_stops_the_run(policy, tmp_path):
    with pytest.raises(WorkFailed, match="returned 15 verdicts for 16 responses"):
        rl(policy, tmp_path, lambda pairs: verify(pairs)[1:])


@pytest.mark.slow
def test_a_policy_that_diverged_stops_the_run(policy, tmp_path):
    with pytest.raises(WorkFailed, match=r"(not finite in|norm is (nan|inf) at) step \d.*lower the learning rate"):
        rl(policy, tmp_path, trl={"learning_rate": 1e30, "max_grad_norm": 0.0})


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(policy, tmp_path):
    with pytest.raises(WorkFailed, match=r"the gradient's norm is (nan|-?inf) at step 1"):
        rl(policy, tmp_path, trl={"entropy_coef": 1e39})
    assert read_jsonl(tmp_path / "metrics.jsonl") == []
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert not (tmp_path / "policy").exists()


@pytest.mark.slow
def test_uninformative_groups_can_be_left_out(policy, tmp_path):
    def first_prompt_only(pairs):
        first = pairs[0][0].id
        return [Verdict("x", float(problem.id == first and "w1" in text)) for problem, text in pairs]

    rl(policy, tmp_path, first_prompt_only, drop_uninformative=True, steps=2)
    for rollout in read_jsonl(tmp_path / "rollouts.jsonl"):
        assert rollout["tokens_kept"] == 0 or rollout["advantage"] != 0
    assert all(row["budget_fill"] < 1 for row in read_jsonl(tmp_path / "metrics.jsonl"))


@pytest.mark.slow
def test_truncated_responses_can_be_left_out(policy, tmp_path):
    rl(policy, tmp_path, trl={"mask_truncated_completions": True}, steps=2)
    rollouts = read_jsonl(tmp_path / "rollouts.jsonl")
    assert any(r["truncated"] for r in rollouts)
    assert all(r["tokens"] > 0 and not (r["truncated"] and r["tokens_kept"]) for r in rollouts)


@pytest.mark.slow
def test_whole_keeps_the_last_response(policy, tmp_path):
    rl(policy, tmp_path, cut="whole", steps=2)
    assert all(r["tokens_kept"] in (0, r["tokens"]) for r in read_jsonl(tmp_path / "rollouts.jsonl"))
    assert all(row["tokens_trained"] >= 60 for row in read_jsonl(tmp_path / "metrics.jsonl"))


@pytest.mark.slow
def test_the_domain_mix_holds_in_every_step(policy, tmp_path):
    rl(policy, tmp_path, domain_mix={"math": 0.75, "code": 0.25}, steps=2)
    rollouts = read_jsonl(tmp_path / "rollouts.jsonl")
    for step in (1, 2):
        domains = [r["domain"] for r in rollouts if r["step"] == step]
        assert (domains.count("math"), domains.count("code")) == (12, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "^trl: max_steps = 0: it must be at least 1$"),
        ({"steps": 3, "updates_per_rollout": 2}, "3 steps are not a whole number of rollouts of 2 updates"),
        ({"token_budget": 10_000}, "token_budget: a budget of 10000 tokens can never be filled"),
        ({"token_budget": 5}, "token_budget: .* smaller than one response"),
        ({"row_tokens": 8}, "row_tokens: a row of 8 tokens cannot hold the longest sample"),
        ({"cut": "half"}, "cut: input should be 'exact' or 'whole', not 'half'"),
        ({"domain_mix": {"science": 1.0}}, "domain_mix: no problem of domain 'science'.*code, math"),
        ({"router_z_loss_coef": -1.0}, "router_z_loss_coef: input should be greater than or equal to 0, not -1.0"),
        ({"trl": {"num_generations": 1}}, "num_generations: a group of 1"),
        (
            {"trl": {"per_device_train_batch_size": 3}},
            "trl: 'per_device_train_batch_size' is ringlite's to set",
        ),
        ({"trl": {"loss_type": "grpo"}}, "'loss_type' is ringlite's to set.*that of `algorithm`"),
        (
            {"trl": {"use_bias_correction_kl": True}},
            "trl: 'use_bias_correction_kl' must be False, not True: Eq. 2",
        ),
        ({"trl": {"router_aux_loss_coef": 0.1}}, "router_aux_loss_coef.*router_balance_coef.* decide it"),
        ({"trl": {"num_iterations": 2}}, "num_iterations.*use updates_per_rollout"),
    ],
)
def test_input_that_cannot_work_is_refused_before_anything_is_trained(policy, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        rl(policy, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_policy_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no model there \(config.json is missing\)"):
        rl(tmp_path / "nowhere", tmp_path / "out")


def test_a_tokenizer_without_a_chat_template_is_refused(policy, tmp_path):
    for file in policy.iterdir():
        if file.is_file() and file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=r"no chat template.*run the sft stage first"):
        rl(tmp_path, tmp_path / "out")


def test_two_problems_of_one_id_are_refused(policy, tmp_path):
    with pytest.raises(UserError, match="two problems have the id 'p1'"):
        train(
            policy, [PROBLEMS[1], PROBLEMS[1]], verify, tmp_path, prompts_per_step=4, steps=1, trl=TRL, token_budget=60
        )


@pytest.mark.slow
def test_a_router_coefficient_on_a_dense_model_is_refused(tmp_path):
    dense = save_policy(tmp_path / "dense", "qwen3")
    with pytest.raises(UserError, match="Qwen3ForCausalLM returns no router logits"):
        rl(dense, tmp_path / "out")
    assert rl(dense, tmp_path / "out", steps=1, router_balance_coef=0.0, router_z_loss_coef=0.0).steps == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "fields"),
    [("bloom", {"n_layer": 2, "n_head": 4}), ("lfm2", {"layer_types": ["conv", "full_attention"]})],
)
def test_a_model_that_packing_leaks_through_is_trained_sample_by_sample(tmp_path, architecture, fields):
    leaky = save_policy(tmp_path / "leaky", architecture, **fields)
    result = rl(leaky, tmp_path / "out", router_balance_coef=0.0, router_z_loss_coef=0.0, steps=2)
    assert result.packing.startswith("packing: none, samples in padded batches")
    rows = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    assert all(row["loss"] == row["loss"] and row["tokens_trained"] == row["budget"] for row in rows)


def test_a_model_whose_head_is_more_than_linear_is_refused(policy, tmp_path, monkeypatch):
    """As Bailing's normalised head: the weights that TRL's fused head reads are not those that the logits come from."""
    forward = torch.nn.Linear.forward

    def normalising(self, x):
        if self.out_features != 64:  # the vocabulary
            return forward(self, x)
        return torch.nn.functional.linear(x, torch.nn.functional.normalize(self.weight))

    monkeypatch.setattr(torch.nn.Linear, "forward", normalising)
    with pytest.raises(UserError, match=r"Ernie4_5_MoeForCausalLM computes its logits by more than a linear head"):
        rl(policy, tmp_path / "out")


def test_the_metrics_file_is_json_without_nan(finished):
    out, _ = finished
    for line in (out / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
