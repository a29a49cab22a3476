"""GRPO, DAPO and Dr. GRPO through packed rows: TRL's own gradients, and the same ones in any layout."""

from pathlib import Path

import pytest
from c3po_one_step import CLIP_HIGHER, TERMS, assert_same, one_step
from tiny_lm import save_policy

ALGORITHMS = ("grpo", "dapo", "dr_grpo")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3_moe")


@pytest.mark.slow
@pytest.mark.parametrize("term", ["clip", "kl"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_packed_rows_give_stock_trl_s_gradient(policy, algorithm, term):
    stock, oracle = one_step(policy, 1, stock=algorithm, **TERMS[term])
    for rows in (1, 4):
        packed, trainer = one_step(policy, rows, algorithm=algorithm, **TERMS[term])
        assert_same(packed, stock)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(oracle.state.log_history[0]["loss"], abs=2e-5)
    assert trainer.step_stats["tokens_trained"] == trainer.step_stats["tokens_generated"]


@pytest.mark.parametrize(
    "term",
    [*(pytest.param(term, marks=pytest.mark.slow) for term in ("clip", "kl", "z")), "entropy"],
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_term_is_the_same_in_any_number_of_rows(policy, algorithm, term):
    expected = one_step(policy, 1, algorithm=algorithm, **TERMS[term])[0]
    for rows in (2, 4, 8):
        assert_same(expected, one_step(policy, rows, algorithm=algorithm, **TERMS[term])[0])


@pytest.mark.slow
@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_gradient_checkpointing_changes_no_term(policy, algorithm, term):
    options = {"algorithm": algorithm, **TERMS[term]}
    assert_same(one_step(policy, 2, **options)[0], one_step(policy, 2, gradient_checkpointing=True, **options)[0])


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_clip_higher_and_checkpointing_leave_no_trace_of_the_layout(policy, algorithm):
    expected, trainer = one_step(policy, 1, algorithm=algorithm, **CLIP_HIGHER)
    assert trainer.step_stats["clip_fraction"] > 0
    checkpointed = one_step(policy, 4, algorithm=algorithm, gradient_checkpointing=True, **CLIP_HIGHER)[0]
    assert_same(expected, checkpointed, atol=2e-6)


@pytest.mark.slow
def test_the_four_losses_are_four(policy):
    gradients = [one_step(policy, 2, algorithm=a, max_grad_norm=0.0)[0] for a in ("c3po", *ALGORITHMS)]
    norms = [sum(g.square().sum() for g in each.values()).sqrt().item() for each in gradients]
    assert len({round(norm, 5) for norm in norms}) == 4
