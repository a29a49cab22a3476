"""Trackers of `trl.report_to`: checked before any work, and fed offline.

That TensorBoard gets every number of metrics.jsonl is seen in the toy run of tests/stages/test_end_to_end.py.
"""

from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe import tracking
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.walk.pipeline import Walk, run_pipeline


def test_every_tracker_of_transformers_is_known() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(tracking._MODULES) == set(INTEGRATION_TO_CALLBACK)


@pytest.mark.parametrize(
    ("stage", "value", "message"),
    [
        ("sft", "tensorbord", r"stages\.sft\.trl\.report_to: no tracker 'tensorbord'; did you mean 'tensorboard'\?"),
        ("rl-math", "[tensorboard, zzz]", r"stages\.rl-math\.trl\.report_to: no tracker 'zzz'; trackers are azure_ml"),
        ("rl-math", "dvclive", r"rl-math\.trl\.report_to: dvclive is not installed; `pip install dvclive`"),
    ],
)
def test_a_tracker_that_cannot_work_is_told_by_check(stage: str, value: str, message: str) -> None:
    with pytest.raises(RecipeErrors, match=message):
        load_checked("toy", [f"stages.{stage}.trl.report_to={value}"])


@pytest.mark.parametrize("value", ["none", "[]", "null", "all", "tensorboard", "[tensorboard]"])
def test_these_are_fine(value: str) -> None:
    load_checked("toy", [f"stages.sft.trl.report_to={value}", f"stages.rl-math.trl.report_to={value}"])


@pytest.mark.slow
def test_wandb_gets_a_run_per_stage_in_the_stages_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SFT and RL in one process: two offline runs, each with its own name."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    changes = ["stages.sft.trl.report_to=wandb", "stages.rl-math.trl.report_to=wandb"]
    changes += ["stages.sft.trl.num_train_epochs=1", "stages.rl-math.trl.max_steps=2"]
    recipe = load_checked("toy", changes)
    run_pipeline(recipe, tmp_path / "toy", Walk(["curate", "sft", "select", "rl-math"]), Console())
    for stage in ("sft", "rl-math"):
        (file,) = (tmp_path / "toy" / stage).glob("wandb/offline-run-*/run-*.wandb")
        assert f"toy.{stage}".encode() in file.read_bytes()
