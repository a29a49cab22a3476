"""Files and folders that can't be opened or written for a reason that the user can mend: exit code 2, no traceback."""

import errno
import os
from pathlib import Path

import pytest
from small_walks import SELECT, run_in_stages, small_recipe

from ringlite_cli.__main__ import run
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError, WorkFailed, not_done
from ringlite_cli.models.headers import read_tensors
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.walk.decide import Walk
from ringlite_cli.stages.walk.failures import as_failure
from ringlite_cli.stages.walk.pipeline import run_pipeline

MENDED = [errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR]


def never(context: Context) -> StageResult:
    raise AssertionError("nothing may begin")


@pytest.mark.parametrize("number", MENDED)
def test_what_the_user_can_mend_has_exit_code_2(number: int) -> None:
    error = OSError(number, os.strerror(number), "/x/y")
    for failure in (as_failure(error, Path("runs/x")), not_done("it can't be written", error, where="/x/y")):
        assert isinstance(failure, UserError)
        assert str(failure).startswith("/x/y: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_became_of_the_file_system_has_exit_code_1(number: int) -> None:
    error = OSError(number, os.strerror(number), "/x/y")
    assert isinstance(not_done("it can't be written", error, where="/x"), WorkFailed)
    assert isinstance(as_failure(error, Path.cwd()), WorkFailed)


@pytest.mark.parametrize("command", ["status", "curate"])
def test_a_folder_where_a_file_belongs_is_named(tmp_path: Path, command: str, capsys: pytest.CaptureFixture) -> None:
    """It ended in a traceback."""
    (tmp_path / "toy" / "curate" / "manifest.json").mkdir(parents=True)
    asked = [command, str(tmp_path / "toy")] if command == "status" else [command, "toy", "--runs-dir", str(tmp_path)]
    assert run(asked) == 2
    told = capsys.readouterr().err
    assert "toy/curate/manifest.json: a folder is there, where a file belongs; move away what is there" in told


@pytest.mark.parametrize("kind", ["file", "dangling link"])
@pytest.mark.parametrize("stage", ["curate", "sft"])
def test_what_is_where_a_stage_s_folder_belongs_is_refused_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stage: str
) -> None:
    """It was found when the stage's turn came, and the exit code was 1."""
    run_in_stages(monkeypatch, never)
    (tmp_path / "r.yaml").write_text(small_recipe(SELECT))
    folder = tmp_path / "runs" / "walk"
    folder.mkdir(parents=True)
    if kind == "file":
        (folder / stage).write_text("mine")
    else:
        (folder / stage).symlink_to("nowhere")
    walk = Walk(["curate", "sft", "select"])
    with pytest.raises(UserError, match=rf"walk/{stage}: a file, or a link that leads nowhere, is where"):
        run_pipeline(load_recipe(str(tmp_path / "r.yaml"), []), folder, walk, Console())
    assert [path.name for path in folder.iterdir()] == [stage]


def test_weights_that_may_not_be_read_are_not_called_damaged(tmp_path: Path) -> None:
    """safetensors says of them that they are not there."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UserError, match=r"the weight file can't be read \(Permission denied\)"):
        read_tensors(file)
