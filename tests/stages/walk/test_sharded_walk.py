"""`ringlite run` under the shipped FSDP2 configuration, on two CPU ranks: from SFT to a policy."""

import json
from pathlib import Path

import pytest
from fsdp_on_cpu import ROOT, start, told

from ringlite_cli.runs.files import read_jsonl

PROGRAM = ROOT / "tests" / "sharded_cli.py"


@pytest.mark.slow
def test_two_ranks_share_a_model_out_from_sft_to_the_policy(tmp_path: Path) -> None:
    words = ["run", "toy", "--to", "rl-math", "--runs-dir", str(tmp_path / "runs")]
    done = start(PROGRAM, str(tmp_path / "facts"), *words, config=tmp_path / "fsdp2.yaml")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    run = tmp_path / "runs" / "toy"
    for rank in told(tmp_path / "facts"):
        assert rank["parameters"] == ["DTensor"]
        assert rank["reference_model"]["units"] == rank["units"]
    for stage in ("curate", "sft", "select", "rl-math"):
        assert json.loads((run / stage / "manifest.json").read_text())["status"] == "done"
    assert [row["step"] for row in read_jsonl(run / "rl-math" / "metrics.jsonl")] == [1, 2, 3]
    assert (run / "rl-math" / "policy" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fsdp_version: 2", "fsdp_version: 1"), "FSDP1 is not supported; set it to 2"),
        (("", ""), "cannot be shared evenly by 2 ranks"),
        (("", ""), "can never be filled"),
    ],
    ids=["fsdp1", "uneven", "recipe"],
)
def test_what_cannot_work_is_told_once_and_every_rank_ends(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    words = ["run", "toy", "--runs-dir", str(tmp_path / "runs")]
    if not change[0]:
        budget = 512 if "filled" in message else 256
        words += ["--set", "stages.rl-math.prompts_per_step=3", "--set", "stages.rl-math.trl.num_generations=3"]
        words += ["--set", f"stages.rl-math.token_budget={budget}"]
    done = start(PROGRAM, str(tmp_path / "facts"), *words, config=tmp_path / "fsdp2.yaml", change=change)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert " ".join(said.split()).count(message) == 1, said[-3000:]
    assert not list(tmp_path.glob("runs/*/rl-math"))


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("weights", "rank 1 has different weights of the model from the first rank"),
        ("GPU", "rank 0 trains on a NVIDIA H100 and rank 1 on a NVIDIA A100"),
    ],
)
def test_ranks_that_see_different_things_are_told_once_and_nothing_is_trained(
    what: str, message: str, tmp_path: Path
) -> None:
    words = ["run", "toy", "--to", "sft", "--runs-dir", str(tmp_path / "runs")]
    done = start(PROGRAM, str(tmp_path / "facts"), *words, config=tmp_path / "fsdp2.yaml", DIFFERS=what)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert " ".join(said.split()).count(message) == 1, said[-3000:]
    assert not list(tmp_path.glob("runs/toy/sft/checkpoint-*"))
