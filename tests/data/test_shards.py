"""Folders of shards, globs, and folders that `datasets` saved."""

import json
from pathlib import Path

import pytest

from ringlite_cli.data.shards import shards
from ringlite_cli.data.sources import load_sources
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import Source

ROWS = [{"q": f"How many apples are {n} apples and {n} apples?", "a": str(2 * n)} for n in range(6)]


def _jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _prompts(path: Path, **more: str) -> list[str]:
    source = Source(path=str(path), columns={"prompt": "q", "answer": "a"}, domain="math", **more)  # type: ignore[arg-type]
    loaded = load_sources([source], seed=1, generators={})[0]
    assert not loaded.unreadable
    assert [row.problem.index for row in loaded.rows] == list(range(len(loaded.rows)))
    return [row.problem.prompt for row in loaded.rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _jsonl(tmp_path / "rows" / "part-1.jsonl", ROWS[3:])
    _jsonl(tmp_path / "rows" / "part-0.jsonl", ROWS[:3])
    (tmp_path / "rows" / "README.md").write_text("# Rows")
    (tmp_path / "rows" / "dataset_info.json").write_text("{}")
    _jsonl(tmp_path / "rows" / ".cache" / "part-2.jsonl", ROWS)
    return tmp_path / "rows"


@pytest.mark.parametrize("name", ["", "*.jsonl", "part-?.jsonl", "**/part*.jsonl"])
def test_folders_and_globs_give_all_rows_in_the_order_of_names(folder: Path, name: str) -> None:
    assert _prompts(folder / name) == [row["q"] for row in ROWS]


@pytest.mark.parametrize("names", [("train-00000-of-00001", "test-00000-of-00001"), ("train/a", "validation/a")])
def test_a_folder_with_splits_gives_the_one_that_is_asked_for(tmp_path: Path, names: tuple[str, str]) -> None:
    _jsonl(tmp_path / f"{names[0]}.jsonl", ROWS[:4])
    _jsonl(tmp_path / f"{names[1]}.jsonl", ROWS[4:])
    assert _prompts(tmp_path) == [row["q"] for row in ROWS[:4]]
    other = "test" if "test" in names[1] else "val"
    assert _prompts(tmp_path, hub_split=other) == [row["q"] for row in ROWS[4:]]
    with pytest.raises(UserError, match="no split 'extra'; it holds t"):
        _prompts(tmp_path, hub_split="extra")


def test_a_word_that_only_begins_as_a_split_does_is_none(tmp_path: Path) -> None:
    _jsonl(tmp_path / "trains.jsonl", ROWS[:4])
    _jsonl(tmp_path / "testimony.jsonl", ROWS[4:])
    assert len(_prompts(tmp_path)) == 6


@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("only",)])
def test_what_save_to_disk_leaves(tmp_path: Path, splits: tuple[str, ...]) -> None:
    import datasets

    parts = {name: datasets.Dataset.from_list(ROWS) for name in splits}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "all", num_shards=dict.fromkeys(splits, 2))
    parts[splits[0]].select([4, 2]).save_to_disk(tmp_path / "one")
    assert _prompts(tmp_path / "all") == [row["q"] for row in ROWS]
    assert _prompts(tmp_path / "one") == [ROWS[4]["q"], ROWS[2]["q"]]


def test_what_can_not_be_read_says_why(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="no file matches"):
        shards(tmp_path / "*.parquet")
    with pytest.raises(UserError, match="no such file"):
        shards(tmp_path / "none.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="a folder without data files"):
        shards(tmp_path / "empty")
    (folder / "more.csv").write_text("q,a\n1,2\n")
    with pytest.raises(UserError, match=r"several formats \(csv, jsonl\)"):
        shards(folder)
