"""Model text in front of a person, and in files: no control characters, no lone surrogates, no end of it."""

import io
import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ringlite_cli.cli import app
from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.model_text import MOST_DETAIL, bounded, encodable, loads, shown
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.runs.files import MetricsWriter, read_json, read_jsonl, write_json

HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[1Aaccepted\r\x9b31m\u202ereversed\u2066\u2028\ud800\x00\x7f"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_control_characters_are_written_out_and_text_stays():
    assert shown("\x1b[2J\x9b\u202e\ud800") == "\\x1b[2J\\x9b\\u202e\\ud800"
    assert not RAW.search(shown(HOSTILE))
    kept = "tab\tline\nété 漢字 👩\u200d🔬 \u200fעברית נ̈"
    assert shown(kept) == kept


@pytest.mark.parametrize("write", ["say", "head", "warn", "error"])
def test_the_console_sends_no_escape_sequence(write, capsys):
    getattr(Console(), write)(HOSTILE)
    said = capsys.readouterr()
    assert not RAW.search(said.out + said.err)
    assert "\\x1b]52;c;ZXZpbA==\\x07" in said.out + said.err


def test_progress_sends_none_either(capsys):
    with Console().progress("work", 1) as bar:
        bar.update(1, 1, HOSTILE)
    assert not RAW.search(capsys.readouterr().err)


def test_nothing_prints_past_the_console():
    """A `print` of model text would send what `shown` holds back."""
    package = Path(sys.modules["ringlite_cli"].__file__).parent
    allowed = {
        "__main__.py",  # names of packages, where Rich is not installed yet
        "cli_page.py",
        "stages/commands/policies/chat.py",  # pieces of a response, each through `shown`
        "shipped/newest.py",
        "recipe/reference.py",
        "runs/catalogue/page.py",
    }
    for file in package.rglob("*.py"):
        name = str(file.relative_to(package))
        if name not in allowed and "guest" not in name:
            assert not re.search(r"(?<![\w.\"'`])print\(|sys\.std(out|err)\.write\(", file.read_text()), name


def test_json_is_read_and_written_without_lone_surrogates(tmp_path):
    assert loads('{"a\\udc00": ["\\ud800x", "\\ud83d\\ude00"]}') == {"a\ufffd": ["\ufffdx", "😀"]}
    assert loads(b'"\\uDBFF"') == "\ufffd"
    assert loads('"\xed\xa0\x80"'.encode("latin-1")) == "\ufffd\ufffd\ufffd" or loads(b'"\xed\xa0\x80"') == "\ufffd"
    assert encodable(("é", 1, None, {"k": "\udfff"})) == ["é", 1, None, {"k": "\ufffd"}]
    with MetricsWriter(tmp_path / "m.jsonl") as rows:
        rows.append({"response": "\ud800", "\udc00": 1.0})
        rows.extend([{"response": "\udfff"}])
    assert read_jsonl(tmp_path / "m.jsonl") == [{"response": "\ufffd", "\ufffd": 1.0}, {"response": "\ufffd"}]
    write_json(tmp_path / "j.json", {"detail": "\ud800"})
    assert read_json(tmp_path / "j.json") == {"detail": "\ufffd"}
    (tmp_path / "old.jsonl").write_text('{"response": "\\ud800"}\n')
    assert read_jsonl(tmp_path / "old.jsonl") == [{"response": "\ufffd"}]


def test_a_detail_is_bounded_wherever_it_comes_from():
    assert bounded("abc", 2) == "a…"
    assert len(Verdict("wrong", 0.0, 0.0, "x" * 7_500_000).detail) == MOST_DETAIL
    assert Verdict("wrong", 0.0, 0.0, "\ud800").detail == "\ufffd"


ROWS = [
    {"id": "huge", "domain": "math", "answer": "1", "response": "\\boxed{" + "9" * 2_000_000 + "}"},
    {"id": "route", "domain": "x" * 2_000_000, "answer": "1", "response": "?"},
    {"id": HOSTILE, "domain": "logic", "answer": "\ud800", "response": "\\boxed{\ud800}"},
    {"id": "s\ud800", "domain": "math", "answer": "\\frac{\ud800}{2}", "response": "\\boxed{\\frac{\udfff}{2}}"},
    {"id": "science", "domain": "science", "answer": "2 m", "response": "\\boxed{\ud800}"},
    {"id": "i", "domain": "general", "verifier": "instructions", "response": "\ud800",
     "answer": '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}'},
]  # fmt: skip


@pytest.mark.slow
def test_verify_lives_through_hostile_rows(tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    out = tmp_path / "out.jsonl"
    said = CliRunner().invoke(app, ["verify", str(tmp_path / "in.jsonl"), "--out", str(out), "--workers", "1"])
    assert said.exit_code == 0, said.output
    assert not RAW.search(said.output)
    rows = read_jsonl(out)
    assert len(rows) == len(ROWS)
    assert max(len(row["detail"]) for row in rows) <= MOST_DETAIL
    assert not re.search(r"\\u[dD][89a-fA-F]", out.read_text().replace("\\\\", ""))


@pytest.mark.slow
def test_programs_details_are_bounded_and_their_streams_shown(tmp_path):
    loud = "raise SystemExit('\\x1b[2J' * 2_000_000)"
    unit = {"mode": "unit", "language": "python", "code": "assert f() == 1, f()"}
    tests = {"mode": "stdin", "language": "python", "cases": [{"input": "", "output": "1"}]}
    pairs = [
        (Problem("a", "code", "?", tests=tests), f"```python\n{loud}\n```"),
        (Problem("b", "code", "?", tests=unit), "```python\ndef f():\n    return 'x' * 3_000_000\n```"),
        (Problem("c", "code", "?", tests=unit), "```python\ndef f():\n    raise ValueError('y' * 3_000_000)\n```"),
    ]
    with Verifiers(VerifierSettings(workers=1, isolation="none")) as verify:
        assert max(len(v.detail) for v in verify(pairs)) <= MOST_DETAIL
    (tmp_path / "p.py").write_text("raise SystemExit('\\x1b]52;c;ZXZpbA==\\x07\\x1b[2J\\x1b[1Aaccepted in 0.001 s')")
    (tmp_path / "t.json").write_text(json.dumps(tests))
    words = ["sandbox", "run", str(tmp_path / "p.py"), "--tests", str(tmp_path / "t.json"), "--isolation", "none"]
    said = CliRunner().invoke(app, words)
    assert "runtime error" in said.output
    assert "\\x1b]52" in said.output
    assert not RAW.search(said.output)


RECIPE = """
name: {name}
model: {{path: some/model}}
stages:
  {stage}:
    kind: curate
    sources: [{{generator: arithmetic, rows: 10}}]
    sets: {{"{held}": {{}}}}
"""


@pytest.mark.parametrize(
    "name", ["../../../evil", "/tmp/evil", "..", ".hidden", "a/b", "a\\\\b", "", "a b", "x\\n", "\\e[2J"]
)
@pytest.mark.parametrize("key", ["name", "stage", "held"])
def test_a_name_that_becomes_a_file_is_checked(tmp_path, key, name):
    names = {"name": "ok", "stage": "curate", "held": "train", key: f'"{name}"' if key != "held" else name}
    (tmp_path / "r.yaml").write_text(RECIPE.format(**names))
    with pytest.raises(RecipeErrors):
        load_recipe(str(tmp_path / "r.yaml"))


def test_a_set_may_not_take_the_place_of_another_output(tmp_path):
    from ringlite_cli.stages.kinds.curate import STAGE

    for held in ("dropped", "doubtful", "funnel", "card", "provenance"):
        (tmp_path / "r.yaml").write_text(RECIPE.format(name="ok", stage="curate", held=held))
        faults = STAGE.faults(load_recipe(str(tmp_path / "r.yaml")), "curate")
        assert [fault.partition(":")[0] for fault in faults] == [f"sets.{held}"]


def test_reports_show_what_a_page_would_hide():
    from ringlite_cli.report.build import _environment

    page = _environment().from_string("{{ text }}|{{ number }}").render(text=f"<b>{HOSTILE}</b>", number=3)
    assert not RAW.search(page)
    assert page.startswith("&lt;b&gt;\\x1b]52")
    io.StringIO(page).read().encode("utf-8")
