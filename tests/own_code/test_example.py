"""examples/own_code as a user runs it: each of its parts works, and a change of its module makes stages run again."""

import os
import shutil
import sys
from pathlib import Path

import command_line
import pytest
import warm

from ringlite_cli.problems import read_problems
from ringlite_cli.runs.files import read_json, read_jsonl

pytestmark = pytest.mark.slow  # trains for half a minute

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_code"


def ringlite(folder: Path, *arguments: str) -> None:
    """In a process of its own, where nothing of the example is imported yet."""
    command = [sys.executable, "-m", "ringlite_cli", *arguments]
    done = warm.run(command, timeout=300, env=os.environ, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_runs_and_runs_again_where_its_module_changed(tmp_path):
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "own"))
    (tmp_path / "elsewhere").mkdir()
    run = tmp_path / "runs" / "own"
    arguments = ("run", str(folder / "own.yaml"), "--runs-dir", str(tmp_path / "runs"))
    ringlite(tmp_path / "elsewhere", *arguments)
    assert {(p.domain, p.verifier) for p in read_problems(run / "curate" / "poems.parquet")} == {("poems", "")}
    rows = read_jsonl(run / "rl" / "metrics.jsonl")
    assert [(row["tokens_trained"], row["advantage_size"] > 0, row["words"]) for row in rows] == [(32, True, 2.875)] * 2
    assert {row["domain"] for row in read_jsonl(run / "rl" / "rollouts.jsonl")} == {"poems"}
    assert "words of a response" in (run / "report.html").read_text()
    score = read_json(run / "eval" / "scores.json")["rl"]["mine:SHORT"]
    assert (score["n"], score["k"]) == (4, 2)
    assert "own/mine:MINE" in read_json(run / "rl" / "manifest.json")["inputs"]
    again = command_line.ringlite(*arguments, cwd=tmp_path)
    assert (again.returncode, again.stdout.count("unchanged, skipped")) == (0, 4), again.stderr
    (folder / "mine.py").write_text((folder / "mine.py").read_text() + "\n# another thought\n")
    said = command_line.ringlite(*arguments, "--to", "rl", cwd=tmp_path).stdout
    assert "sft: unchanged, skipped" in said
    changed = "own/mine:InTurn, own/mine:MINE, own/mine:POEMS"
    assert f"rl: C3PO reinforcement learning again, as {changed}" in said
