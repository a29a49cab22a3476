"""A run keeps the attention kernels that it took, and takes them again when it is resumed."""

import json
import logging
import os
import signal
from pathlib import Path

import pytest
import torch
from rl_runs import rl
from tiny_lm import save_policy

from ringlite_cli.c3po import attention, kernel_choice
from ringlite_cli.c3po.kernel_choice import Shape, decided
from ringlite_cli.c3po.varlen_kernels import Kernel, loaded
from ringlite_cli.errors import Interrupted

SHAPE = Shape(torch.device("cpu"), torch.bfloat16, 4, 2, 16, 16, None)


def right(q, k, v, borders, longest, scale, window):
    """The attention that this project has on a CPU, behind the kernels' signature."""
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return attention._by_length(q, k, v, tuple(borders.tolist()), scale, 0.0, window)[0]


def there(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As in a new process of a machine where these kernels are installed, the first of them the fastest."""
    loaded.cache_clear()
    order = iter(range(1, 9))
    monkeypatch.setattr(kernel_choice, "_decisions", {})
    monkeypatch.setattr(kernel_choice, "_wanted", {})
    kernels = [Kernel(name, __name__, "right", lambda found: found) for name in names]
    monkeypatch.setattr(kernel_choice, "installed", lambda: kernels)
    monkeypatch.setattr(kernel_choice, "seconds", lambda *_: float(next(order)))


@pytest.mark.slow
def test_a_resumed_run_takes_the_kernels_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """The runs are real, the kernel is one of a CPU, tried beside them: rows of float32 take none."""
    policy, out = save_policy(tmp_path / "policy", "qwen3"), tmp_path / "out"
    there(monkeypatch, "flash-attn-4", "flash-attn-3")
    assert kernel_choice._decide(SHAPE).taken == "flash-attn-4"

    def stop(row):
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted):
        rl(policy, out, on_step=stop, router_balance_coef=0.0, router_z_loss_coef=0.0)
    for saved in out.rglob("trainer_state.json"):
        callbacks = json.loads(saved.read_text())["stateful_callbacks"]
        assert callbacks["AttentionKernels"]["attributes"] == {str(SHAPE): "flash-attn-4"}
    there(monkeypatch, "flash-attn-3", "flash-attn-4")
    assert kernel_choice._decide(SHAPE).taken == "flash-attn-3"
    result = rl(policy, out, steps=3, router_balance_coef=0.0, router_z_loss_coef=0.0)
    assert decided() == {str(SHAPE): "flash-attn-4"}
    assert result.packing == "packed rows (ringlite_packed), attention kernel flash-attn-4"
    there(monkeypatch, "torch", "flash-attn-3")
    assert kernel_choice._decide(SHAPE).taken == "torch"
    with caplog.at_level(logging.WARNING, "ringlite_cli"):
        rl(policy, out, steps=4, router_balance_coef=0.0, router_z_loss_coef=0.0)
    assert decided() == {str(SHAPE): "torch"}
    said = [line for line in caplog.messages if line.startswith("attention kernel: torch here, flash-attn-4 before")]
    assert len(said) == 1
