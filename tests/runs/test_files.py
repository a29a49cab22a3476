"""Files are whole or not there, and survive the death of their writer."""

import math
from pathlib import Path

import pytest

from ringlite_cli.runs.files import MetricsWriter, cut_jsonl, digest, read_json, read_jsonl, write_json


def test_nan_and_infinity_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": math.nan, "y": [math.inf, 1.5]})
    assert read_json(tmp_path / "a.json") == {"x": None, "y": [None, 1.5]}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}


def test_a_torn_row_is_cut_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"ste')
    assert [row["step"] for row in read_jsonl(path)] == [1, 2]
    with MetricsWriter(path) as metrics:
        metrics.append({"step": 3})
    assert [row["step"] for row in read_jsonl(path)] == [1, 2, 3]


def test_rows_are_cut_back_to_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with MetricsWriter(path) as metrics:
        metrics.extend({"step": n} for n in range(5))
    cut_jsonl(path, lambda row: row["step"] <= 2)
    assert [row["step"] for row in read_jsonl(path)] == [0, 1, 2]


def test_a_folders_digest_knows_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    first = digest(tmp_path / "d")
    assert first == digest(tmp_path / "d")
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    renamed = digest(tmp_path / "d")
    (tmp_path / "d" / "b").write_text("2")
    assert len({first, renamed, digest(tmp_path / "d")}) == 3
