"""Adapters that no gradient reaches are named, with how many of the trained parameters they are."""

import logging
from pathlib import Path

import pytest
from rl_runs import rl
from tiny_lm import save_policy

JAMBA = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "mamba_d_state": 4,
    "mamba_dt_rank": 4,
    "use_mamba_kernels": False,
}


def warnings_of(folder: Path, caplog: pytest.LogCaptureFixture, targets: list[str]) -> list[str]:
    caplog.clear()
    policy = folder / "policy"
    with caplog.at_level(logging.WARNING, "ringlite_cli"):
        rl(
            policy, folder / "-".join(targets), lora={"r": 2, "target_modules": targets}, steps=1, trl={"beta": 0.0},
            packing="none", router_balance_coef=0.0, router_z_loss_coef=0.0,
        )  # fmt: skip
    return [record.getMessage() for record in caplog.records if "no gradient reaches" in record.getMessage()]


@pytest.mark.slow
def test_adapters_that_no_gradient_reaches_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Jamba multiplies by the weight of dt_proj itself."""
    save_policy(tmp_path / "policy", "jamba", **JAMBA)
    (said,) = warnings_of(tmp_path, caplog, ["dt_proj", "q_proj"])
    idle, reached = 2 * (4 + 64), 2 * (32 + 32)  # rank x (in + out), of one layer each
    assert f"the adapters of dt_proj: {idle:,} of the {idle + reached:,} trained parameters stay" in said
    assert not warnings_of(tmp_path, caplog, ["q_proj", "v_proj"])
