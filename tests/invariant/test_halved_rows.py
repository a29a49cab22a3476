"""A step that runs out of memory once is done again with its rows in halves, to the same gradient and numbers."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from c3po_one_step import CLIP_HIGHER, TERMS, assert_same, make_trainer, one_step, run_out
from tiny_lm import save_policy

from ringlite_cli.c3po.packing import PackedSample, halves, pack_row


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3_moe")


@pytest.mark.parametrize(("backwards", "failing"), [(False, 1), (True, 1), (True, 2)])
def test_the_step_done_again_has_the_same_gradient_and_numbers(
    policy: Path, backwards: bool, failing: int, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = TERMS["kl"] | {"router_z_loss_coef": 0.1}
    expected, undisturbed = one_step(policy, 2, **options)
    trainer, gradients = make_trainer(policy, 2, **options)
    seen = run_out(trainer, (failing,), backwards=backwards)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert "did not fit into memory (CUDA out of memory" in caplog.text
    assert len(seen) == failing + 2 * 2, "passes up to the one that failed, then halves of all rows"
    assert_same(expected, gradients.steps[-1])
    steps = undisturbed.step_stats, trainer.step_stats
    for name in ("loss", "grad_norm"):
        assert trainer.state.log_history[0][name] == pytest.approx(undisturbed.state.log_history[0][name], rel=1e-4)
    for name in ("kl", "entropy", "router_z", "router_entropy"):
        assert steps[1][name] == pytest.approx(steps[0][name], rel=1e-4), name
    assert (steps[0].get("ranks_halved"), steps[1]["ranks_halved"]) == (None, 1)


def test_later_steps_keep_the_halves(policy: Path) -> None:
    expected, _ = one_step(policy, 2, **CLIP_HIGHER)
    trainer, gradients = make_trainer(policy, 2, **CLIP_HIGHER)
    seen = run_out(trainer, (1,), backwards=False)
    trainer.train()
    assert len(seen) == 1 + 2 * 2 * 2
    assert_same(expected, gradients.steps[-1], atol=2e-6)


def test_memory_that_is_exceeded_twice_ends_the_run(policy: Path) -> None:
    trainer, _ = make_trainer(policy, 2)
    run_out(trainer, (1, 3), backwards=False)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.train()


def test_a_row_of_one_sample_is_not_cut() -> None:
    (row,) = halves(whole := pack_row([PackedSample(0, [1], [2, 3], 1.0)]))
    assert row is whole


def test_halves_are_cut_between_samples_next_to_the_middle() -> None:
    samples = [
        PackedSample(i, [1], list(range(2, 2 + size)), 1.0, sampled=[-1.0] * size)
        for i, size in enumerate([5, 2, 3, 4])
    ]
    parts, alone = halves(pack_row(samples)), [pack_row(samples[:2]), pack_row(samples[2:])]
    for part, other in zip(parts, alone, strict=True):
        assert part["attention"]["cu_seq_lens_q"].tolist() == other["attention"]["cu_seq_lens_q"].tolist()
        assert part["attention"]["max_length_q"] == other["attention"]["max_length_q"]
        for name in ("input_ids", "position_ids", "shift_labels", "advantages", "weights", "ages"):
            assert torch.equal(part[name], other[name]), name
