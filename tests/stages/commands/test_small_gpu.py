"""The recipe for one GPU of 16 to 24 GB fits there by its plan, and the plan would say if it did not."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ringlite

from ringlite_cli.recipe.load import shipped_recipes

pytestmark = pytest.mark.slow  # lays out a model of 0.6B parameters, without its weights

FREE_OF_16_GB = "15"
QWEN3 = {
    "model_type": "qwen3",
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": True,
}
SIZES = {  # of the published config.json
    "0.6B": QWEN3 | {"hidden_size": 1024, "intermediate_size": 3072},
    "1.7B": QWEN3 | {"hidden_size": 2048, "intermediate_size": 6144},
}


def planned(size: str, tmp_path: Path) -> str:
    """Return the plan of the recipe with a model of this size, on one GPU that has 15 GiB free."""
    recipe: dict[str, Any] = yaml.safe_load(shipped_recipes()["qwen3-0.6b-lora"].read_text(encoding="utf-8"))
    assert recipe["model"] == {"path": "Qwen/Qwen3-0.6B", "dtype": "bfloat16"}
    recipe["model"] = {"new": {"vocab_size": 151936, "config": SIZES[size]}, "dtype": "bfloat16"}
    del recipe["chat_template_kwargs"]  # a new model's template has none
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = ringlite("plan", str(file), "--gpus", "1", "--gpu-memory", FREE_OF_16_GB, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_stage_fits_a_gpu_of_16_gb(tmp_path: Path) -> None:
    text = planned("0.6B", tmp_path)
    assert "596.05M parameters" in text
    assert text.count("memory on 1 GPU, each of 15.0 GiB") == 3  # sft, rl-math, rl-mixed
    assert text.count("at most: ") >= 3
    assert "does not fit" not in text


def test_a_larger_model_does_not(tmp_path: Path) -> None:
    assert "does not fit" in planned("1.7B", tmp_path)
