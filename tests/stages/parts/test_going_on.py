"""Rows of metrics after a key changed: the first one says so, wherever training went on from."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.recipe.schema import SftStage
from ringlite_cli.stages.parts.going_on import Marking, marks, steps_asked, with_change


def folder_with(folder: Path, *changes: tuple[int, dict[str, list[Any]]]) -> Path:
    entries = [{"step": step, "keys": keys} for step, keys in changes]
    (folder / "manifest.json").write_text(json.dumps({"changes": [*entries, {"step": 9, "made_by": "ringlite 0.1"}]}))
    return folder


@pytest.mark.parametrize(
    ("steps", "marked"),
    [
        ([7, 8, 9], [7]),
        ([5, 6, 7, 8], [5]),  # the newest checkpoint was damaged: the one before has the new value too
        ([7, 8, 5, 6, 7, 8], [7, 5]),  # the guard went back to 4, behind the change
        ([7, 8, 9, 8, 9], [7]),  # it went back, but not so far
        ([9, 10], []),
    ],
)
def test_the_first_row_with_another_value_says_so(tmp_path: Path, steps: list[int], marked: list[int]) -> None:
    marking = Marking(marks(folder_with(tmp_path, (6, {"trl.beta": [0.0, 0.1]}))))
    rows = [marking({"step": step}) for step in steps]
    assert [row["step"] for row in rows if "changed" in row] == marked


def test_keys_that_changed_one_after_the_other_are_all_told(tmp_path: Path) -> None:
    """Two changes after one checkpoint: the second entry took the place of the first."""
    changes = (6, {"trl.beta": [0.0, 0.1]}), (6, {"token_budget": [60, 30], "trl.beta": [0.1, 0.2]})
    both = {"trl.beta": [0.0, 0.2], "token_budget": [60, 30]}
    assert Marking(marks(folder_with(tmp_path, *changes)))({"step": 7})["changed"] == both
    later = (6, {"trl.beta": [0.0, 0.1]}), (8, {"trl.beta": [0.1, 0.2], "token_budget": [60, 30]})
    assert Marking(marks(folder_with(tmp_path, *later)))({"step": 5})["changed"] == both


def test_a_change_that_trained_nothing_leaves_no_trace() -> None:
    """Fewer epochs than are trained are refused; what went on then as before was told as changed."""
    refused = with_change([], {"step": 5, "keys": {"trl.num_train_epochs": [12, 0.1]}})
    assert refused == [{"step": 5, "keys": {"trl.num_train_epochs": [12, 0.1]}}]
    assert with_change(refused, {"step": 5, "keys": {"trl.num_train_epochs": [0.1, 12]}}) == []
    upgraded = [{"step": 2, "keys": {"trl.beta": [0, 1]}}, {"step": 5, "made_by": "ringlite 0.1"}]
    later = with_change(upgraded, {"step": 5, "keys": {"trl.beta": [1, 2]}, "made_by": "ringlite 0.2"})
    assert later == [upgraded[0], {"step": 5, "keys": {"trl.beta": [1, 2]}, "made_by": "ringlite 0.1"}]


def test_the_steps_of_an_epoch_are_known_by_the_place_of_a_checkpoint_in_it(tmp_path: Path) -> None:
    """As the Trainer counts epochs: in batches, of which the last step of an epoch may take fewer than the others."""
    section = SftStage(kind="sft", data="curate.traces", trl={"num_train_epochs": 2.5})
    for batches, of_step in ((1, 1), (7, 1), (7, 2), (7, 4), (10, 3), (1001, 8), (5, 8)):
        of_epoch = math.ceil(batches / of_step)
        for step in {1, 2, of_epoch - 1, of_epoch, of_epoch + 1, 3 * of_epoch - 1, 3 * of_epoch} - {0}:
            whole, steps = divmod(step - 1, of_epoch)
            epoch = whole + min((steps + 1) * of_step, batches) / batches
            trainer = tmp_path / f"{batches}-{of_step}-{step}"
            checkpoint = trainer / f"checkpoint-{step}"
            checkpoint.mkdir(parents=True)
            (checkpoint / "ringlite_seal.json").write_text("{}")
            (checkpoint / "trainer_state.json").write_text(json.dumps({"epoch": epoch}))
            assert steps_asked(section, trainer) == math.ceil(2.5 * of_epoch), (batches, of_step, step)
