"""Bad input to the whole of curation: what can't be read is set aside with its file and row, and the rest goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match

from ringlite_cli import json_rows
from ringlite_cli.data.curate import CurateResult, curate
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.runs.files import read_jsonl

GOOD = [{"q": f"Compute {n} times {n + 1} for me.", "a": str(n * n + n)} for n in range(20)]


def _curate(folder: Path, lines: list[bytes], **more: Any) -> CurateResult:
    (folder / "own.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    source = Source(path=str(folder / "own.jsonl"), columns={"prompt": "q", "answer": "a"}, domain="math")
    sets = {"all": ProblemSet()}
    return curate([source], sets, exact_match, folder / "out", seed=1, generators={}, **more)


def _lines(*bad: bytes) -> list[bytes]:
    return [*(json.dumps(row).encode() for row in GOOD), *bad]


BAD = [
    (b'{"q": 5, "a": "1"}', "'q' is a int, not text"),
    (b'{"q": ["a", "list"], "a": "1"}', "'q' is a list, not text"),
    (b'{"q": "What is it?", "a": {"deep": 1}}', "the answer is a dict"),
    (b'{"q": "What is it?", "a": NaN}', "the answer is nan"),
    (b'{"a": "1"}', "no column 'q'; it has 'a'"),
    (b'{"q": "What is it?", ', "line 21 is not JSON"),
    (b'{"q": "Caf\xe9?", "a": "1"}', "line 21 is not UTF-8"),
    (b"[1, 2]", "line 21 is a list"),
    (b'{"q": "' + b"x" * 5000 + b'", "a": "1"}', "line 21 is longer than 4,000 bytes"),
]


@pytest.mark.parametrize(("line", "says"), BAD, ids=[says[:24] for _, says in BAD])
def test_a_bad_row_is_set_aside_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, says: str
) -> None:
    monkeypatch.setattr(json_rows, "LONGEST_LINE", 4000)
    result = _curate(tmp_path, [*_lines(line), json.dumps({"q": "Compute 77 plus 1 for me.", "a": "78"}).encode()])
    assert result.funnel["dropped"] == {"unreadable_row": 1}
    assert (result.funnel["rows_in"], result.funnel["out"]) == (22, 21)
    (dropped,) = read_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert (dropped["source"], dropped["index"], dropped["reason"]) == ("own.jsonl", 20, "unreadable_row")
    assert says in dropped["detail"]


def test_answers_of_mixed_types_are_read(tmp_path: Path) -> None:
    mixed = [4, 4.0, "4", ["4"], [4.0]]
    lines = [json.dumps({"q": f"Add {n} and {4 - n} now.", "a": answer}).encode() for n, answer in enumerate(mixed)]
    result = _curate(tmp_path, lines)
    assert (result.funnel["out"], result.funnel["dropped"]) == (5, {})


def test_a_row_that_is_huge_in_itself_is_dropped_by_its_rule(tmp_path: Path) -> None:
    result = _curate(tmp_path, _lines(json.dumps({"q": "What is it? " * 100_000, "a": "1"}).encode()))
    assert result.funnel["dropped"] == {"prompt_too_long": 1}


def test_above_the_share_curation_stops_and_names_file_and_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"own\.jsonl: 6 of 26 rows can't be read; row 20: .*raise max_unreadable"):
        _curate(tmp_path, _lines(*[b"{"] * 6))
    assert _curate(tmp_path, _lines(*[b"{"] * 6), max_unreadable=0.3).funnel["dropped"] == {"unreadable_row": 6}
