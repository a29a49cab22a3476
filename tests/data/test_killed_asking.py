"""The command line stopped by its time limit, and killed, while it asks an endpoint: it asks for nothing twice."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from endpoint_helpers import Server

from ringlite_cli.__main__ import run
from ringlite_cli.runs.files import read_json, read_jsonl

PROBLEMS, CONCURRENCY = 20, 2


def _answer(body: dict[str, Any], seconds: float = 0.0) -> str:
    time.sleep(seconds)
    number = int(body["messages"][0]["content"].split()[1])
    wrong = (body["seed"] + number) % 3 == 0
    return f"I add {number} and {number}, step by step, and find \\boxed{{{2 * number + wrong}}}"


def _recipe(server: Server, folder: Path) -> Path:
    data = folder / "rows.jsonl"
    lines = [{"q": f"Double {n} for me, it is of {n * 7919}.", "a": str(2 * n)} for n in range(1, PROBLEMS + 1)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    responder = server.responder().model_dump(exclude_none=True)
    curate = {
        "kind": "curate",
        "sources": [{"path": str(data), "columns": {"prompt": "q", "answer": "a"}, "domain": "math"}],
        "sets": {"all": {}},
        "difficulty": {"models": [responder], "num_generations": 3},
        "distill": {"teacher": responder, "num_generations": 2, "rounds": 2},
    }
    recipe = {"name": "asks", "model": {"path": "nobody/nothing"}, "prompt_suffix": {}, "stages": {"curate": curate}}
    path = folder / "asks.yaml"
    path.write_text(json.dumps(recipe))
    return path


def _made(runs: Path) -> tuple[bytes, bytes, list[dict[str, Any]]]:
    """The set, the funnel and every response, in one order."""
    folder = runs / "asks" / "curate"
    asked = sorted(read_jsonl(folder / "asked.jsonl"), key=lambda row: (row["key"], row["sample"]))
    assert not (folder / "answers.jsonl").exists()
    return (folder / "all.parquet").read_bytes(), (folder / "funnel.json").read_bytes(), asked


@pytest.mark.slow
def test_a_curation_that_was_stopped_and_killed_asks_only_for_the_rest(server: Server, tmp_path: Path) -> None:
    server.answer = _answer
    command = ["curate", str(_recipe(server, tmp_path)), "--runs-dir"]
    assert run([*command, str(tmp_path / "whole")]) == 0
    asked = len(server.seen)
    server.seen.clear()
    command.append(str(tmp_path / "stopped"))

    server.answer = partial(_answer, seconds=0.3)  # too slow for the limit of 3.6 s
    assert run([*command, "--max-hours", "0.001"]) == 130
    manifest = read_json(tmp_path / "stopped" / "asks" / "curate" / "manifest.json")
    assert (manifest["status"], "time limit" in manifest["message"]) == ("interrupted", True)
    assert 0 < len(server.seen) < 3 * PROBLEMS

    server.answer = partial(_answer, seconds=0.02)
    process = subprocess.Popen([sys.executable, "-m", "ringlite_cli", *command])
    while len(server.seen) < 3 * PROBLEMS + 10:  # among the traces
        assert process.poll() is None, "ended early"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL

    assert run(command) == 0
    questions = {(body["messages"][0]["content"], body["seed"]) for body in server.seen}
    assert len(questions) == asked
    assert len(server.seen) - asked <= CONCURRENCY  # those whose answers were on their way when it was killed
    assert _made(tmp_path / "stopped") == _made(tmp_path / "whole")
