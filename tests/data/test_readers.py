"""Files of every format, whole and broken."""

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from ringlite_cli import json_rows
from ringlite_cli.data.readers import Unreadable, read_file, read_hub
from ringlite_cli.errors import UserError

ROWS = [{"question": "1+1?", "answer": "2"}, {"question": "naïve, “2+2”?", "answer": "4"}]


def _write(folder: Path, name: str) -> Path:
    path = folder / name
    plain = name.removesuffix(".gz")
    if plain.endswith("jsonl"):
        data = "\n".join(json.dumps(r) for r in ROWS).encode() + b"\n\n"
    elif plain.endswith("json"):
        data = json.dumps(ROWS, ensure_ascii=False).encode()
    elif plain.endswith("csv"):
        target = folder / "plain.csv"
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
        data = target.read_bytes()
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz", "a.json.gz", "a.csv.gz"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert [dict(r) for r in read_file(_write(tmp_path, name))] == ROWS  # type: ignore[arg-type]


def _zstd(data: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": _zstd,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
CHINESE = [{"题": "已知 x−3=4，求 x", "答": "7"}, {"题": "甲有５个苹果\u2028乙有3个", "答": "８"}]


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("utf-32", None), ("gb18030", "gb18030")],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
def test_text_in_other_encodings_and_packings(
    tmp_path: Path, name: str, encoding: str, named: str | None, packed: str
) -> None:
    if name.endswith("l"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in CHINESE)
    elif name.endswith("json"):
        text = json.dumps(CHINESE, ensure_ascii=False)
    else:
        lines = [list(CHINESE[0]), *(list(row.values()) for row in CHINESE)]
        text = "".join(("\t" if name.endswith("tsv") else ",").join(line) + "\r\n" for line in lines)
    path = tmp_path / (name + packed)
    path.write_bytes(PACKED[packed](text.encode(encoding)))
    assert list(read_file(path, named)) == CHINESE
    bare = path.with_name("bare.json" if name.endswith("json") else "bare.jsonl" if name.endswith("l") else f"b{name}")
    bare.write_bytes(path.read_bytes())  # what a file is packed by is told by its bytes too
    assert list(read_file(bare, named)) == CHINESE


def test_bytes_that_an_encoding_does_not_know_make_a_row_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(CHINESE[0], ensure_ascii=False).encode("gb18030")
    path.write_bytes(good + b"\n" + good.replace(b"7", b"\xff\xff") + b"\n" + good + b"\n")
    first, second, third = read_file(path, "gb18030")
    assert first == third == CHINESE[0]
    assert isinstance(second, Unreadable)
    assert "line 2 is not UTF-8" in second.why


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_table_with_other_marks_between_its_columns(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'question{mark}answer\n"What is 2, or{mark} 2+0?"{mark}2,0\n', encoding="utf-8")
    assert list(read_file(path)) == [{"question": f"What is 2, or{mark} 2+0?", "answer": "2,0"}]


ODD = [{"x": 1.5, "n": [1, {"deep": [2.25, None]}]}, {"x": 10**20, "t": "naïve \u2029 \U0001d7d9"}, {"x": -0.0}]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_a_long_list_is_streamed_to_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes, name: str
) -> None:
    data = mark + json.dumps(ODD * 50, ensure_ascii=False).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    whole = list(read_file(path))
    monkeypatch.setattr(json_rows, "WHOLE_JSON", 100)
    rows = read_file(path)
    assert next(rows) == ODD[0]
    assert [ODD[0], *rows] == whole == ODD * 50


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'[{"a": 1}, {"a": 2}, {"a":', "broken JSON after 2 rows"),
        (b'[{"a": 1}, {"a": "\xff"}]', "broken JSON after 1 rows .*UTF8"),
        (b'[{"a": 1}] and more of it', "broken JSON after 1 rows"),
    ],
)
def test_a_long_list_that_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, says: str) -> None:
    monkeypatch.setattr(json_rows, "WHOLE_JSON", 10)
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(UserError, match=says):
        list(read_file(tmp_path / "a.json"))


def test_long_json_lines_under_the_name_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "WHOLE_JSON", 10)
    (tmp_path / "a.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert list(read_file(tmp_path / "a.json")) == [{"a": 1}, {"a": 2}]


def test_a_huge_line_is_set_aside_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "LONGEST_LINE", 40)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' + json.dumps({"a": "x" * 200}) + '\n{"a": 3}')
    first, huge, last = read_file(path)
    assert (first, last) == ({"a": 1}, {"a": 3})
    assert isinstance(huge, Unreadable)
    assert huge.why == "line 2 is longer than 40 bytes"


def test_parquet_rows_that_are_not_utf8_are_unreadable(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 1, 2, 3)))
    texts = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xffc")])
    pq.write_table(pa.table({"q": texts}), tmp_path / "a.parquet")
    first, latin, last = read_file(tmp_path / "a.parquet")
    assert (first, last) == ({"q": "a"}, {"q": "c"})
    assert isinstance(latin, Unreadable)
    assert "not UTF-8" in latin.why


def test_bad_lines_come_out_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n\xff\xfe\n[1, 2]\n{"a": 5}\n')
    rows = list(read_file(path))
    assert [isinstance(r, Unreadable) for r in rows] == [False, True, True, True, False]
    whys = [r.why for r in rows if isinstance(r, Unreadable)]
    assert "line 2 is not JSON" in whys[0]
    assert "line 3 is not UTF-8" in whys[1]
    assert "line 4 is a list" in whys[2]


def test_csv_rows_of_another_width_or_encoding_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n1,2,3\n\xff,2\n")
    first, wide, latin = read_file(path)
    assert first == {"a": "1", "b": "2"}
    assert isinstance(wide, Unreadable)
    assert "3 cells" in wide.why
    assert isinstance(latin, Unreadable)
    assert "UTF-8" in latin.why


def test_a_list_under_the_name_jsonl(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('\n[\n{"q": 1},\n{"q": 2}\n]\n')
    assert list(read_file(tmp_path / "rows.jsonl")) == [{"q": 1}, {"q": 2}]


def test_json_lines_under_the_name_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert list(read_file(path)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.json", b'[{"a": 1},', "broken JSON at line 1"),
        ("a.json", b'{"a": 1}', "not a list of rows"),
        ("a.json", b"\xff[]", "not UTF-8"),
        ("a.jsonl.gz", b"plain text", "broken gzip"),
        ("a.jsonl.zst", b"plain text", "broken zstd"),
        ("a.csv.xz", b"plain text", "broken xz"),
        ("a.json.bz2", bz2.compress(json.dumps(ROWS * 99).encode())[:60], "broken bzip2"),
        ("a.parquet", b"PAR1 not really", "not a readable parquet"),
        ("a.xlsx", b"", "known formats: jsonl, json, csv, tsv, parquet"),
    ],
)
def test_files_broken_as_a_whole(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match=says) as caught:
        list(read_file(path))
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(read_file(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="a folder"):
        list(read_file(tmp_path))


def test_unreachable_hub_says_what_next(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"can't load the hub data set 'ringlite-tests/none'.*RINGLITE_DATA"):
        list(read_hub("ringlite-tests/none", revision=None, subset=None, split="train"))


def test_a_hub_data_set_that_can_not_be_parsed(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"a": 1}\n{"a": {"b": [1]}}\n{broken\n')
    with pytest.raises(UserError, match="can't load the hub data set"):
        list(read_hub(str(tmp_path), revision=None, subset=None, split="train"))


def test_hub_rows_of_a_local_folder(tmp_path: Path) -> None:
    """load_dataset takes a folder of files for an id, which is the same code without a network."""
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    rows = read_hub(str(tmp_path), revision=None, subset=None, split="train")
    assert [dict(r) for r in rows] == ROWS  # type: ignore[arg-type]
