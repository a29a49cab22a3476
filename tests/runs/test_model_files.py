"""A model folder is known by what is in it: other weights are seen, and copies, times and notes are not."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ringlite_cli.runs.model_files import describe_model


def weights(seed: int = 1, rows: int = 3000) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {f"layer.{i}": draw.standard_normal((rows, 1000), dtype=np.float32) for i in range(4)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder whose weights, 48 MB, are not read in full."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file(weights(), folder / "model.safetensors")
    return folder


def known_by(folder: Path) -> str:
    return describe_model(folder)["digest"]


def test_a_copy_and_a_touched_folder_are_the_same_model(model: Path, tmp_path: Path) -> None:
    before = known_by(model)
    shutil.copytree(model, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(model / "model.safetensors", (1, 1))
    (model / "README.md").write_text("a note")
    (model / ".cache").mkdir()
    (model / "training_args.bin").write_text("x")
    assert known_by(tmp_path / "copy") == known_by(model) == before


@pytest.mark.parametrize("layer", range(4))
def test_one_tensor_that_was_trained_on_makes_another_model(model: Path, layer: int) -> None:
    before, changed = known_by(model), weights()
    changed[f"layer.{layer}"] += np.float32(1e-4) * np.sign(changed[f"layer.{layer}"])
    save_file(changed, model / "model.safetensors")
    assert known_by(model) != before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja", "modeling_x.py"])
def test_a_small_file_counts_to_its_last_byte(model: Path, name: str) -> None:
    (model / name).write_text(json.dumps({"a": 1}))
    before = known_by(model)
    (model / name).write_text(json.dumps({"a": 2}))
    assert known_by(model) != before


def test_a_file_of_weights_alone_and_a_damaged_one_are_told_too(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(bytes(40 << 20))
    before = known_by(file)
    with file.open("r+b") as opened:
        opened.write(b"x")
    assert known_by(file) != before
    broken = tmp_path / "model.safetensors"
    broken.write_bytes(b"\xff" * (33 << 20))
    assert known_by(broken)


def test_twenty_thousand_tensors_take_a_moment(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    save_file(
        {f"t{i}": draw.standard_normal(1024, dtype=np.float32) for i in range(20_000)}, tmp_path / "model.safetensors"
    )
    started = time.process_time()
    describe_model(tmp_path)
    assert time.process_time() - started < 5
