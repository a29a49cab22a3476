"""An error of the file system that a library takes for "not there" is raised after all."""

import builtins
import errno
import io
import os
from pathlib import Path

import pytest
from policies import write_tiny_policy

from ringlite_cli.overlooked import Overlooked


def fail(monkeypatch: pytest.MonkeyPatch, name: str, at: Path, number: int = errno.ESTALE) -> None:
    """Make one call of os.<name>, or of open, fail at a path."""
    for module in (io, builtins) if name == "open" else (os,):
        monkeypatch.setattr(module, name, _failing(getattr(module, name), at, number))


def _failing(plain, at: Path, number: int):
    def call(path, *args, **kwargs):
        if isinstance(path, str | os.PathLike) and os.fspath(path) == str(at):
            raise OSError(number, os.strerror(number), str(at))
        return plain(path, *args, **kwargs)

    return call


def test_what_os_path_says_no_to_is_raised_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    fail(monkeypatch, "stat", tmp_path / "a")
    with pytest.raises(OSError, match="Stale"), Overlooked(tmp_path):
        assert not os.path.isfile(tmp_path / "a")
    assert not os.path.isfile(tmp_path / "a"), "afterwards all is as it was"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR])
def test_what_is_not_there_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fail(monkeypatch, "stat", tmp_path / "a", number)
    with Overlooked(tmp_path):
        assert not os.path.isfile(tmp_path / "a")


def test_other_folders_are_other_peoples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "stat", tmp_path / "a")
    with Overlooked(tmp_path / "b", None):
        assert not os.path.isfile(tmp_path / "a")


def test_files_are_opened_as_before(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    before = (os.stat, os.scandir, builtins.open)
    with Overlooked(tmp_path):
        with open(file=tmp_path / "a", encoding="utf-8") as file:
            assert file.read() == "text"
        assert sorted(os.listdir(path=tmp_path)) == ["a"]
        assert next(os.walk(tmp_path))[2] == ["a"]
    assert (os.stat, os.scandir, builtins.open) == before


def test_a_check_in_the_middle_ends_the_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "stat", tmp_path / "a")
    with Overlooked(tmp_path) as loading:
        os.path.exists(tmp_path / "a")
        with pytest.raises(OSError, match="Stale"):
            loading.check()
        assert not os.path.exists(tmp_path / "a")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generation_config.json", "tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("how", ["stat", "open"])
def test_no_part_of_a_policy_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    """transformers goes on without a generation config whose file it could not look at, and ends nowhere then."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def load() -> None:
        with Overlooked(folder):
            AutoTokenizer.from_pretrained(folder)
            AutoModelForCausalLM.from_pretrained(folder)

    folder = write_tiny_policy(tmp_path / "policy")
    with monkeypatch.context() as patch:
        fail(patch, how, folder / name)
        with pytest.raises(OSError, match="Stale"):
            load()
    load()
