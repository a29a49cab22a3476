"""The golden models of tests/models/golden: values computed by the published code (transformers 4.46, fp32, CPU)."""

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

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("ling_like", "norm_head")


def golden_model(kind: str, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(GOLDEN / kind, dtype=torch.float32, **options).eval()


def expected(kind: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / kind / "expected.safetensors")


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder's safetensors."""
    return {name: tensor for file in folder.glob("model*.safetensors") for name, tensor in load_file(file).items()}


def changed_copy(folder: Path, kind: str = "ling_like", change: Any = None, **config: Any) -> Path:
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


def with_tokenizer(folder: Path) -> Path:
    """Adds the tiny word tokenizer, so that stages can use the folder; its ids stay below the golden vocabulary."""
    from tiny_lm import tiny_tokenizer

    tiny_tokenizer().save_pretrained(folder)
    return folder
