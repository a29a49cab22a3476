"""Rows in JSON are read in one way, whoever reads them: the same marks, line ends and faults."""

import gzip
import json
from pathlib import Path

import pytest

from ringlite_cli.data.readers import read_file
from ringlite_cli.errors import UserError
from ringlite_cli.evals.tasks.base import read_rows
from ringlite_cli.json_rows import Unreadable, json_lines, json_rows, last_rows, sound_rows
from ringlite_cli.problems import read_problems
from ringlite_cli.report.files import load_rows
from ringlite_cli.runs.files import read_jsonl

ROWS = [{"id": "a", "domain": "math", "prompt": "1\u2028 2"}, {"id": "b", "domain": "math", "prompt": "é"}]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
FORMS = {
    "plain": TEXT,
    "byte order mark": b"\xef\xbb\xbf" + TEXT,
    "line ends of Windows": TEXT.replace(b"\n", b"\r\n"),
    "blank lines": TEXT.replace(b"\n", b"\n\n"),
    "gzip": gzip.compress(TEXT),
    "gzip in two members": gzip.compress(TEXT[: len(TEXT) // 2]) + gzip.compress(TEXT[len(TEXT) // 2 :]),
}
READERS = {
    "data": lambda path: list(read_file(path)),
    "problems": lambda path: [{"id": p.id, "domain": p.domain, "prompt": p.prompt} for p in read_problems(path)],
    "runs": read_jsonl,
    "tasks": read_rows,
    "rows": lambda path: list(json_lines(path)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_reader_reads_every_form(tmp_path: Path, reader: str, form: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(FORMS[form])
    assert READERS[reader](path) == ROWS


@pytest.mark.parametrize("reader", ["problems", "runs", "tasks"])
@pytest.mark.parametrize(
    ("line", "why"),
    [(b"{oops}", "line 2 is not JSON"), (b'{"a": "\xff"}', "line 2 is not UTF-8"), (b"[1]", "line 2 is a list")],
)
def test_a_fault_is_told_by_its_line(tmp_path: Path, reader: str, line: bytes, why: str) -> None:
    path = tmp_path / "rows.jsonl"
    first, second = TEXT.splitlines(keepends=True)[0], b"\n" + line + b"\n"
    path.write_bytes(first.rstrip() + second + TEXT)
    with pytest.raises(UserError, match=why):
        READERS[reader](path)


def test_faults_stand_in_their_place_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n[' + b"[" * 100_000 + b'\n{"a": ' + b"9" * 5000 + b'}\n{"a": 2}')
    one, deep, large, two = json_lines(path)
    assert (one, two) == ({"a": 1}, {"a": 2})
    assert isinstance(deep, Unreadable)
    assert "line 2 is nested too deeply" in deep.why
    assert isinstance(large, Unreadable)
    assert "line 3 is not JSON" in large.why
    assert len(load_rows(path).rows) == 2


def test_a_torn_last_line_is_left_out_where_a_writer_may_have_been_killed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    assert list(json_lines(path, torn=False)) == [{"a": 1}]
    assert len(list(json_lines(path))) == 2


def test_a_lone_surrogate_is_put_right_unless_the_caller_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "x\\ud800"}\n')
    assert list(json_lines(path)) == [{"a": "x\ufffd"}]
    assert list(json_lines(path, json.loads)) == [{"a": "x\ud800"}]


def test_a_list_is_read_as_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([{"a": 1}, 2]).encode())
    one, two = json_rows(path)
    assert one == {"a": 1}
    assert isinstance(two, Unreadable)
    with pytest.raises(UserError, match="row 1 is a int"):
        list(sound_rows(path, json_rows(path)))


def test_a_broken_gzip_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(TEXT)[:-9])
    with pytest.raises(UserError, match="broken gzip file"):
        list(json_lines(path))


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ('{"step": 1}\n{"step": 2}\n', {"step": 2}),
        ('{"step": 1}\n{"step": 2}\n{"st', {"step": 2}),
        ('{"step": 1}\n{"step": 2}\n\n', {"step": 2}),
        ('{"step": 1}\n[2]\n', {}),
        ('{"step": 1', {}),
        ("", {}),
    ],
)
def test_the_last_whole_row_is_read_from_the_end(tmp_path: Path, text: str, last: dict[str, int]) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(text)
    assert last_rows(file)[-1:] == ([last] if last else [])
    file.write_text('{"long": "' + "x" * 500 + '"}\n' + text)
    assert last_rows(file, tail=60)[-1:] == ([last] if last else [])
    assert last_rows(tmp_path / "absent.jsonl") == []


def test_the_last_rows_come_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps({"step": step, "by": {"math": step}}) + "\n" for step in range(1, 101)))
    assert [row["step"] for row in last_rows(file, tail=100)] == [99, 100]
