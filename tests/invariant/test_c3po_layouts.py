"""C3PO's gradient does not depend on rows, ranks or packing: each loss term apart, against a masked oracle too."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
import warm
from c3po_one_step import BUDGET, CLIP_HIGHER, LORA, OWN_RANGE, REFILL, TERMS, assert_same, one_step
from sweeps import sample_of
from tiny_lm import save_policy

from ringlite_cli.recipe.algorithms import algorithms

LAYOUTS = (1, 2, 4, 8)
SECOND = {name: CLIP_HIGHER | bounds for name, bounds in OWN_RANGE.items()}


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3_moe")


@pytest.mark.parametrize("term", ["clip", "kl", "entropy", "z"])
def test_the_gradient_is_the_same_in_any_number_of_rows(policy, term):
    gradients = [one_step(policy, rows, **TERMS[term])[0] for rows in LAYOUTS]
    for other in gradients[1:]:
        assert_same(gradients[0], other)


@pytest.mark.slow
@pytest.mark.parametrize("term", sample_of(TERMS, "clip", "entropy", "balance"))
def test_gradient_checkpointing_changes_nothing(policy, term):
    assert_same(
        one_step(policy, 2, **TERMS[term])[0], one_step(policy, 2, gradient_checkpointing=True, **TERMS[term])[0]
    )


@pytest.mark.slow
def test_clip_higher_off_policy_is_the_same_in_any_layout(policy):
    expected, trainer = one_step(policy, 1, **CLIP_HIGHER)
    assert 0.02 < trainer.step_stats["clip_fraction"] < 0.9
    for rows in LAYOUTS[1:]:
        assert_same(expected, one_step(policy, rows, **CLIP_HIGHER)[0], atol=2e-6)
    assert_same(expected, one_step(policy, 2, gradient_checkpointing=True, **CLIP_HIGHER)[0], atol=2e-6)
    even = one_step(policy, 1, **CLIP_HIGHER | {"epsilon_high": 0.02})[0]
    assert max((expected[n] - even[n]).abs().max() for n in expected) > 1e-4


@pytest.mark.slow
def test_each_term_moves_the_gradient(policy):
    """Without this, the other tests would pass with a term left out."""
    plain = one_step(policy, 2)[0]
    for term in ("kl", "entropy", "z", "balance"):
        with_term = one_step(policy, 2, **TERMS[term])[0]
        assert max((plain[n] - with_term[n]).abs().max() for n in plain) > 1e-4, term


@pytest.mark.slow
def test_the_balance_loss_is_a_statistic_of_rows_and_keeps_its_scale(policy):
    """A product of two means: shorter rows see more chance imbalance (13 tokens here), but it does not add up."""
    values = [one_step(policy, rows, **TERMS["balance"])[1].step_stats["router_balance"] for rows in LAYOUTS]
    assert values == pytest.approx([values[0]] * len(values), rel=0.2)
    assert len(set(values)) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("term", "rows"), sample_of([("clip", 1), ("clip", 4), ("kl", 1), ("kl", 4)], ("clip", 1), ("kl", 4))
)
def test_packed_rows_give_the_gradient_of_masked_padded_rows(policy, term, rows):
    packed, trainer = one_step(policy, rows, **TERMS[term])
    masked, oracle = one_step(policy, rows, oracle=True, **TERMS[term])
    assert_same(packed, masked)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(oracle.state.log_history[0]["loss"], abs=2e-5)
    assert trainer.step_stats["entropy"] == pytest.approx(oracle.state.log_history[0]["entropy"], abs=1e-3)


@pytest.mark.slow
def test_the_oracle_s_entropy_bonus_agrees_where_trl_takes_one_mean(policy):
    """TRL means over each micro-batch; with one micro-batch and a full budget that is the sum over Phi."""
    assert_same(one_step(policy, 1, **TERMS["entropy"])[0], one_step(policy, 1, oracle=True, **TERMS["entropy"])[0])


def test_exactly_the_budget_is_trained_whatever_the_layout(policy):
    for rows in LAYOUTS:
        stats = one_step(policy, rows)[1].step_stats
        assert stats["tokens_trained"] == BUDGET
        assert stats["tokens_generated"] == BUDGET + stats["tokens_dropped"]


@pytest.mark.slow
def test_two_ranks_give_the_gradient_of_one(policy, tmp_path):
    cases = [{"name": f"{term}-{rows}", "rows": rows, **TERMS[term]} for term in TERMS for rows in (1, 4)]
    cases.append({"name": "rank", "rows": 2, "token_budget_scope": "rank"})
    cases += [{"name": f"higher-{rows}", "rows": rows, **CLIP_HIGHER} for rows in (1, 4)]
    terms = {"gspo": ("kl",), "cispo": ("kl",)}  # what they differ in needs ratios beside 1: see SECOND below
    pairs = [(a, t) for a in algorithms() if a != "c3po" for t in terms.get(a, ("clip", "kl", "entropy", "z"))]
    cases += [{"name": f"{a}-{t}-{n}", "rows": n, "algorithm": a, **TERMS[t]} for a, t in pairs for n in (1, 4)]
    cases += [{"name": f"{a}-second-{n}", "rows": n, "algorithm": a, **SECOND[a]} for a in SECOND for n in (1, 4)]
    cases += [{"name": f"refill-{n}", "rows": n, **REFILL} for n in (1, 4)]
    cases += [{"name": f"lora-{n}", "rows": n, **LORA} for n in (1, 4)]
    cases.append({"name": "checkpointed", "rows": 2, "gradient_checkpointing": True, **TERMS["kl"]})
    run_on_two_ranks(tmp_path, cases)
    for term in ("clip", "kl", "entropy", "z"):
        expected = one_step(policy, 2, **TERMS[term])[0]
        for rows in (1, 4):
            assert_same(expected, torch.load(tmp_path / f"{term}-{rows}.pt")["gradients"])
    expected = one_step(policy, 2, **TERMS["kl"])[0]
    assert_same(expected, torch.load(tmp_path / "checkpointed.pt")["gradients"])
    expected = one_step(policy, 2, **CLIP_HIGHER)[0]
    for rows in (1, 4):
        assert_same(expected, torch.load(tmp_path / f"higher-{rows}.pt")["gradients"], atol=2e-6)
    for a, options in SECOND.items():
        expected, trainer = one_step(policy, 2, algorithm=a, **options)
        assert trainer.step_stats["clip_fraction"] > 0
        for rows in (1, 4):
            assert_same(expected, torch.load(tmp_path / f"{a}-second-{rows}.pt")["gradients"], atol=2e-6)
    for a, t in pairs:
        expected = one_step(policy, 4, algorithm=a, **TERMS[t])[0]
        for rows in (1, 4):
            assert_same(expected, torch.load(tmp_path / f"{a}-{t}-{rows}.pt")["gradients"])
    expected = one_step(policy, 2, **LORA)[0]
    assert all("lora_" in name for name in expected)
    for rows in (1, 4):
        assert_same(expected, torch.load(tmp_path / f"lora-{rows}.pt")["gradients"])
    check_refill(policy, tmp_path)
    # Two ranks x 4 rows are the same eight rows as one rank x 8
    expected, trainer = one_step(policy, 8, **TERMS["balance"])
    saved = torch.load(tmp_path / "balance-4.pt")
    assert_same(expected, saved["gradients"])
    assert saved["stats"]["router_balance"] == pytest.approx(trainer.step_stats["router_balance"], rel=1e-5)
    # A budget of each rank: both are filled, and the mean over ranks divides by both
    stats = torch.load(tmp_path / "rank.pt")["stats"]
    assert stats["budget"] == 2 * BUDGET
    assert BUDGET < stats["tokens_trained"] <= 2 * BUDGET


def check_refill(policy: Path, out: Path) -> None:
    """Two ranks draw the same further prompts, fill the budget, and train what one rank trains."""
    expected, trainer = one_step(policy, 2, **REFILL)
    counts = ("tokens_trained", "tokens_generated", "tokens_refilled", "budget", "budget_fill")
    for rows in (1, 4):
        ranks = [torch.load(out / f"refill-{rows}-rank{rank}.pt") for rank in (0, 1)]
        for seen in ranks:
            assert seen["source"] == trainer.prompts.state()
            assert {c: seen["stats"][c] for c in counts} == {c: trainer.step_stats[c] for c in counts}
            assert_same(expected, seen["gradients"])
        assert ranks[0]["stats"]["tokens_trained"] == REFILL["token_budget"]
        assert ranks[0]["stats"]["tokens_refilled"] > 0
        assert ranks[0]["source"]["draws"] > 0


def run_on_two_ranks(out: Path, cases: list[dict]) -> None:
    script = Path(__file__).with_name("c3po_one_step.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    done = warm.run([*command, str(out), json.dumps(cases)], timeout=500, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
