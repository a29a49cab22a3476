"""Copies of folders that belong to somebody else, or that were made read-only."""

import stat
from pathlib import Path

from ringlite_cli.runs.folder import copy_folder, take_over


def read_only(folder: Path) -> Path:
    (folder / "inner").mkdir(parents=True)
    for file in (folder / "config.json", folder / "inner" / "a"):
        file.write_text("{}")
        file.chmod(0o444)
    for each in (folder / "inner", folder):
        each.chmod(0o555)
    return folder


def test_folders_of_a_copy_can_be_written(tmp_path: Path) -> None:
    """An export of a read-only run's policy ended with `it can't be written`: the copy's folder was read-only too."""
    source = read_only(tmp_path / "policy")
    copy_folder(source, tmp_path / "copy", ignore=lambda _, names: [name for name in names if name == "a"])
    take_over(source, tmp_path / "run", "sft")
    for copied in (tmp_path / "copy", tmp_path / "run" / "sft"):
        for folder in (copied, copied / "inner"):
            assert folder.stat().st_mode & stat.S_IWUSR
        assert (copied / "config.json").read_text() == "{}"
    assert not (tmp_path / "copy" / "inner" / "a").exists()
    assert not source.stat().st_mode & stat.S_IWUSR
    source.chmod(0o755)
