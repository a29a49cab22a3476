"""Rows that do not divide among ranks: each is trained and counted once, as by one rank."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fsdp_on_cpu import ROOT, launch, told
from safetensors.torch import load_file
from tiny_lm import save_policy

PROGRAM = ROOT / "tests" / "sharded_rank.py"
SGD = {"optim": "sgd", "learning_rate": 0.1, "num_train_epochs": 2, "max_steps": -1}
PAIRS = (5, 7, 8, 9)
"""Of four pairs a step: 5 leave a rank none in the last step, 7 one of two, 8 fill it, 9 are a step more."""
SFT = {"end to end": {}, "padded": {"packing": False}}


def jobs(out: Path, policy: Path, ranks: int) -> list[dict[str, Any]]:
    """The same steps by any number of ranks."""
    each = {"per_device_train_batch_size": 2 // ranks, "gradient_accumulation_steps": 2}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        (f"pairs-{n}", "reward-model", {"pairs": n, "trl": SGD | each}) for n in PAIRS
    ]
    asked += [(name, "sft", {"trl": SGD | each | {"max_length": 40} | more}) for name, more in SFT.items()]
    return [
        {"kind": kind, "out": str(out / name), "policy": str(policy), "options": options}
        for name, kind, options in asked
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders of the same runs by one rank and by two."""
    root = tmp_path_factory.mktemp("filled")
    policy = save_policy(root / "policy", "llama")
    made = {}
    for ranks in (1, 2):
        made[ranks] = root / str(ranks)
        (file := root / f"{ranks}.json").write_text(json.dumps(jobs(made[ranks], policy, ranks)))
        launch(PROGRAM, str(file), config=root / "unused.yaml", ranks=ranks, sharded=False)
    return made


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = [*folder.glob("reward_model/*.safetensors")] or sorted(folder.glob("checkpoints/*/*.safetensors"))[-1:]
    return load_file(file)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*(f"pairs-{n}" for n in PAIRS), *SFT])
def test_two_ranks_train_and_count_what_one_does(runs: dict[int, Path], name: str) -> None:
    one, two = (weights(runs[ranks] / name) for ranks in (1, 2))
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, atol=1e-6, rtol=0, msg=key)
    alone, together = (told(runs[ranks] / name, ranks)[0]["rows"] for ranks in (1, 2))
    assert len(alone) == len(together)
    for mine, other in zip(alone, together, strict=True):
        for key in mine.keys() - {"step_seconds"}:
            assert (other[key] is None) == (mine[key] is None)
            assert mine[key] is None or other[key] == pytest.approx(mine[key], rel=1e-5, abs=1e-6), (mine["step"], key)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", PAIRS)
def test_the_tokens_of_pairs_are_those_of_their_texts_in_each_epoch(runs: dict[int, Path], count: int) -> None:
    tokens = sum(4 + n % 5 + 12 - n % 7 for n in range(count))
    for ranks in (1, 2):
        assert told(runs[ranks] / f"pairs-{count}", ranks)[0]["rows"][-1]["tokens_trained"] == 2 * tokens
