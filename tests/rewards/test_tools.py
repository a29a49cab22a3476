"""`ringlite verify` and `ringlite sandbox run` as a user meets them."""

import json
import os

import pytest
from typer.testing import CliRunner

from ringlite_cli.cli import app
from ringlite_cli.errors import UserError

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
TESTS = {"mode": "function", "entry_point": "f", "cases": [{"args": [2], "expected": "```"}]}


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.slow
@linux
def test_verify_prints_counts_slowest_and_time_outs(tmp_path):
    late = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": 1}]}
    rows = [
        {"id": "fast", "domain": "math", "response": r"\boxed{3}", "answer": "3"},
        {"id": "late", "domain": "code", "response": "```python\nwhile True: pass\n```", "tests": late},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out.jsonl"
    said = run("verify", tmp_path / "in.jsonl", "--out", out, "--isolation", "none", "--workers", 1)
    assert said.exit_code == 0, said.output
    for text in ("1  correct", "1  time limit", "slowest: late", "time-outs: 1 (late)", str(out)):
        assert text in said.output


@linux
def test_a_program_with_a_fence_in_it_is_run_as_it_is(tmp_path):
    (tmp_path / "p.py").write_text('def f(a):\n    """\n```\nno end\n"""\n    return "```"\n')
    (tmp_path / "t.json").write_text(json.dumps(TESTS))
    said = run("sandbox", "run", tmp_path / "p.py", "--tests", tmp_path / "t.json", "--isolation", "none")
    assert said.exit_code == 0, said.output
    assert said.output.startswith("accepted in ")
    assert "isolation: " in said.output


@linux
def test_the_failing_case_and_the_error_stream_are_shown(tmp_path):
    (tmp_path / "p.py").write_text("import sys\ndef f(a):\n    print('looking', file=sys.stderr)\n    return a.x\n")
    (tmp_path / "t.json").write_text(json.dumps(TESTS))
    said = run("sandbox", "run", tmp_path / "p.py", "--tests", tmp_path / "t.json", "--isolation", "none")
    assert "runtime error" in said.output
    assert "case 0; AttributeError" in said.output
    assert "looking" in said.output


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_tests_that_cannot_be_read(tmp_path, content):
    (tmp_path / "p.py").write_text("")
    if content is not None:
        (tmp_path / "t.json").write_text(content)
    said = run("sandbox", "run", tmp_path / "p.py", "--tests", tmp_path / "t.json")
    assert isinstance(said.exception, UserError)
    assert "t.json" in str(said.exception)


def test_an_isolation_that_is_none_of_the_levels(tmp_path):
    (tmp_path / "p.py").write_text("")
    (tmp_path / "t.json").write_text("{}")
    said = run("sandbox", "run", tmp_path / "p.py", "--tests", tmp_path / "t.json", "--isolation", "most")
    assert isinstance(said.exception, UserError)


@linux
def test_a_byte_order_mark_is_no_part_of_a_program_or_of_tests(tmp_path):
    (tmp_path / "p.py").write_text('def f(a):\n    return "```"\n', encoding="utf-8-sig")
    (tmp_path / "t.json").write_text(json.dumps(TESTS), encoding="utf-8-sig")
    said = run("sandbox", "run", tmp_path / "p.py", "--tests", tmp_path / "t.json", "--isolation", "none")
    assert said.exit_code == 0, said.output


@pytest.mark.parametrize("words", [("verify", "x", "--out", "o"), ("sandbox", "run", "x", "--tests", "x")])
def test_a_folder_in_place_of_a_file_is_called_that(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    said = run(*words)
    assert str(said.exception) == "x: that is a folder, and a file is wanted; name the file in it"
