"""What is written aside appears whole, or leaves what stood there."""

from pathlib import Path

import pytest

from ringlite_cli.whole import whole


def test_a_file_is_replaced_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with whole(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    with whole(path) as partial:
        partial.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def _fail_in_the_middle(path: Path) -> None:
    with whole(path) as partial:
        partial.write_text("half")
        raise OSError("the disk is full")


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk"):
        _fail_in_the_middle(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_too_and_a_killed_writers_rest_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "model"
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "torn").write_text("x")
    for name in ("one", "two"):
        with whole(path, folder=True) as partial:
            (partial / name).write_text(name)
    assert [p.name for p in path.iterdir()] == ["two"]
    with pytest.raises(ValueError, match="late"), whole(path, folder=True):
        raise ValueError("late")
    assert [p.name for p in path.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [path]
