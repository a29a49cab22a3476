"""What liger-kernel does to a process beside the model that it is asked for.

liger's own kernels need a GPU. Here a function stands in for transformers' call of liger, which replaces what liger
0.8.5 replaces for a Llama; the classes and functions that are replaced, and the trainings, are real.
"""

import os
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
from rl_runs import rl
from tiny_lm import save_policy
from transformers import trainer as transformers_trainer
from transformers.models.llama import modeling_llama

from ringlite_cli.problems import Problem
from ringlite_cli.train import liger
from ringlite_cli.train.sft.run import run_sft

NAMES = ("apply_rotary_pos_emb", "LlamaRMSNorm", "LlamaMLP")


class OtherNorm(modeling_llama.LlamaRMSNorm):
    """Stands where liger's norm would."""


class OtherMLP(modeling_llama.LlamaMLP):
    """Stands where liger's SwiGLU would."""


def replaced_for(asked: list[Any]) -> Any:
    """Stand in for transformers' apply_liger_kernel: note the model, replace what liger replaces."""
    plain = modeling_llama.apply_rotary_pos_emb

    def apply(model: Any, config: Any) -> None:
        asked.append(model)
        modeling_llama.apply_rotary_pos_emb = lambda *args, **kwargs: plain(*args, **kwargs)
        modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP = OtherNorm, OtherMLP
        norm = model.model.norm
        norm.forward = MethodType(OtherNorm.forward, norm)
        type(norm).__name__ = "OtherNorm"

    return apply


def standing() -> dict[str, Any]:
    return {name: getattr(modeling_llama, name) for name in NAMES}


def install_cute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package of the name of nvidia-cutlass-dsl's on the path; no variable names an implementation."""
    (folder / "cutlass").mkdir()
    (folder / "cutlass" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    for name in (liger.ROPE, liger.ALL):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # and what a run sets goes with the test


def test_models_of_later_stages_do_not_run_on_the_kernels_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    install_cute(tmp_path, monkeypatch)
    monkeypatch.setattr(transformers_trainer, "apply_liger_kernel", replaced_for(asked))
    before, apply = standing(), transformers_trainer.apply_liger_kernel
    policy = save_policy(tmp_path / "policy", "llama")
    dense = {"router_balance_coef": 0.0, "router_z_loss_coef": 0.0}
    rl(policy, tmp_path / "rl", trl={"use_liger_kernel": True}, steps=1, **dense)
    assert len(asked) == 1, "RL asked for liger"
    assert os.environ.pop(liger.ROPE) == "nvidia-triton"
    assert standing() == before
    assert before["LlamaRMSNorm"].__name__ == "LlamaRMSNorm"
    assert transformers_trainer.apply_liger_kernel is apply

    traces = [Problem(id=f"t{i}", domain="math", prompt="w1 w2", trace="w3 w4 w5") for i in range(4)]
    trl = {"use_liger_kernel": True, "max_steps": 1, "per_device_train_batch_size": 2}
    run_sft(policy, traces, tmp_path / "sft", trl=trl)
    assert len(asked) == 2, "SFT asked for liger"
    assert os.environ[liger.ROPE] == "nvidia-triton"
    assert standing() == before


def test_rotary_embeddings_stay_with_triton_where_liger_would_compile_one_for_each_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (liger.ROPE, liger.ALL):
        monkeypatch.delenv(name, raising=False)
    liger.keep_to_triton()
    assert liger.ROPE not in os.environ, "without CuTe there is nothing else to take"
    install_cute(tmp_path, monkeypatch)
    monkeypatch.setenv(liger.ALL, "cutile")
    liger.keep_to_triton()
    assert liger.ROPE not in os.environ, "the user has named one"
    monkeypatch.delenv(liger.ALL)
    liger.keep_to_triton()
    assert os.environ[liger.ROPE] == "nvidia-triton"
