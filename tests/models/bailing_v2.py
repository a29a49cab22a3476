"""The golden models of tests/models/golden_v2: values computed by the published code (transformers 4.56, fp32, CPU).

`extra_layer.safetensors` is the layer for multi-token prediction of a third model, whose other weights are mini_like's.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ringlite_cli.models import register

register()
torch.set_num_threads(1)

GOLDEN = Path(__file__).parent / "golden_v2"
EXTRA = GOLDEN / "extra_layer.safetensors"
KINDS = ("mini_like", "flash_like")


def golden_model(kind: str, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(GOLDEN / kind, dtype=torch.float32, **options).eval()


def expected(kind: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / kind / "expected.safetensors")


def changed_copy(folder: Path, kind: str = "mini_like", change: Any = None, **config: Any) -> Path:
    """A copy of a golden model with its tensors or config changed. change: takes the dict of tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = json.loads((GOLDEN / kind / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(fields | config), encoding="utf-8")
    if change is None:
        shutil.copy(GOLDEN / kind / "model.safetensors", folder)
        return folder
    tensors = load_file(GOLDEN / kind / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def base_like(folder: Path, change: Any = None) -> Path:
    """mini_like with its layer for multi-token prediction, as base checkpoints have one."""

    def both(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update(load_file(EXTRA))
        if change is not None:
            change(tensors)

    return changed_copy(folder, "mini_like", both, num_nextn_predict_layers=1, mtp_loss_scaling_factor=0.1)
