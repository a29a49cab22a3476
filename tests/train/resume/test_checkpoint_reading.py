"""Checkpoints on a file system that fails: nothing is lost, and every rank hears the same."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.engine.own_server import free_port
from ringlite_cli.train.resume.checkpoints import (
    SEAL,
    last_checkpoint,
    seal,
    set_unsound_aside,
    start_afresh,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for step in (5, 10):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        (folder / "shards").mkdir(parents=True)
        (folder / "shards" / "weights").write_bytes(b"x" * 10)
        (folder / "state").write_bytes(b"y" * step)
        seal(folder)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def prepare(run: Path) -> None:
    set_unsound_aside(run / "checkpoints")
    if last_checkpoint(run / "checkpoints") is None:
        start_afresh(run / "checkpoints", run / "metrics.jsonl")


class Failing:
    """Makes the n-th file operation below a folder fail as a stale network mount does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, at: int, error: int) -> None:
        self.left, self.folder, self.error = at, str(folder), error
        for module, name in ((io, "open"), (os, "stat"), (os, "scandir")):
            monkeypatch.setattr(module, name, self.wrapped(getattr(module, name)))

    def wrapped(self, plain):
        def call(path, *args, **kwargs):
            if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder):
                self.left -= 1
                if self.left == -1:
                    raise OSError(self.error, os.strerror(self.error), os.fspath(path))
            return plain(path, *args, **kwargs)

        return call


@pytest.mark.parametrize("error", [errno.ESTALE, errno.EIO, errno.EACCES, errno.EMFILE])
def test_an_error_at_any_read_costs_a_message_and_no_file(run: Path, monkeypatch, error: int) -> None:
    (run / "checkpoints" / "checkpoint-10" / "state").write_bytes(b"damaged")
    before, failures = files(run), 0
    aside = run / "checkpoints" / "checkpoint-10.unsound"
    for at in range(200):
        with monkeypatch.context() as patch:
            fault = Failing(patch, run, at, error)
            if failed := _message_of(run):
                assert "nothing was removed" in failed
                failures += 1
        if aside.exists():
            aside.rename(run / "checkpoints" / "checkpoint-10")
        assert files(run) == before, at
        if fault.left >= 0:
            break
    assert failures == at > 5
    prepare(run)
    assert last_checkpoint(run / "checkpoints") == (run / "checkpoints" / "checkpoint-5", 5)


def _message_of(run: Path) -> str:
    try:
        prepare(run)
    except WorkFailed as error:
        return str(error)
    return ""


def test_an_unsound_checkpoint_is_kept_under_another_name_each_time(run: Path) -> None:
    newest = run / "checkpoints" / "checkpoint-10"
    for _ in range(2):
        (newest / "state").write_bytes(b"damaged")
        set_unsound_aside(run / "checkpoints")
        shutil.copytree(run / "checkpoints" / "checkpoint-5", newest)
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"checkpoint-5", "checkpoint-10", "checkpoint-10.unsound", "checkpoint-10.unsound-2"}


def test_a_checkpoint_that_was_cut_short_gives_its_space_back(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk the next attempt would find the half of it, and fill the disk again."""
    checkpoints = run / "checkpoints"
    sound = files(checkpoints / "checkpoint-5")
    (checkpoints / "checkpoint-10" / SEAL).unlink()
    prepare(run)
    assert "the checkpoint of step 10 is removed: it was not saved to its end" in caplog.text
    assert {path.name for path in checkpoints.iterdir()} == {"checkpoint-5"}
    assert files(checkpoints / "checkpoint-5") == sound


def test_a_checkpoint_that_was_cut_short_and_cannot_be_removed_is_set_aside(run: Path, monkeypatch) -> None:
    checkpoints = run / "checkpoints"
    (checkpoints / "checkpoint-10" / SEAL).unlink()
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)  # a file that is open elsewhere, on NFS
    prepare(run)
    assert {path.name for path in checkpoints.iterdir()} == {"checkpoint-5", "checkpoint-10.unsound"}


def test_starting_afresh_keeps_what_holds_a_checkpoint(run: Path) -> None:
    kept = files(run / "checkpoints")
    start_afresh(run / "checkpoints", run / "metrics.jsonl")
    assert files(run) == {f"checkpoints.before/{name}": data for name, data in kept.items()}
    (run / "checkpoints").mkdir()
    start_afresh(run / "checkpoints")
    assert not (run / "checkpoints").exists()


RANK = """
import sys
from accelerate import PartialState
from ringlite_cli.errors import UserError
from ringlite_cli.train import devices
from ringlite_cli.train.resume.agreed import check_same, read_by_one
state = PartialState(cpu=True)
assert state.num_processes == 2
print("told", read_by_one(lambda: f"by rank {state.process_index}", state))
def read():
    assert state.is_main_process
    raise UserError("no good", where="here", hint="try there")
try:
    read_by_one(read, state)
except UserError as error:
    print("raised", error, error.what, error.hint, error.exit_code)
check_same({"problems": "1", "weights": "a"}, state)
devices.check_gpus(state)
devices.gpu_name = lambda: ["NVIDIA H100", "NVIDIA A100"][state.process_index]
for check in (lambda: check_same({"problems": "1", "weights": "ab"[state.process_index]}, state),
              lambda: devices.check_gpus(state)):
    try:
        check()
    except UserError as error:
        print(error.what)
"""


@pytest.mark.slow
def test_ranks_decide_by_what_one_of_them_read() -> None:
    base = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK],
            env=base | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=120)[0].splitlines() for rank in ranks]
    one = ["told by rank 0", "raised here: no good; try there no good try there 2"]
    one += ["rank 1 has different weights from the first rank"]
    one += ["rank 0 trains on a NVIDIA H100 and rank 1 on a NVIDIA A100"]
    assert said == [one] * 2
