"""`ringlite run` under a launcher: one run folder, and the training stages on every rank."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ringlite_cli.errors import WorkFailed
from ringlite_cli.runs.files import read_jsonl, write_json
from ringlite_cli.stages.calls import CALLS, ENDED, call_ranks, is_follower
from ringlite_cli.stages.walk.ranks import follow


@pytest.fixture
def rank(monkeypatch):
    def become(number: int) -> None:
        monkeypatch.setenv("RANK", str(number))
        monkeypatch.setenv("WORLD_SIZE", "2")

    return become


def test_a_process_alone_calls_nobody(tmp_path):
    assert not is_follower()
    call_ranks(tmp_path, "sft")
    assert not list(tmp_path.iterdir())


def test_calls_of_an_earlier_launch_are_not_followed(tmp_path, rank):
    write_json(tmp_path / CALLS, ["rl-math"])
    os.utime(tmp_path / CALLS, (time.time() - 1e6,) * 2)
    rank(0)
    call_ranks(tmp_path, None)
    assert json.loads((tmp_path / CALLS).read_text()) == [None]
    rank(1)
    assert is_follower()
    follow(None, tmp_path)  # would fail if the old call were followed


def test_a_first_rank_that_gave_up_lets_the_others_go(tmp_path, rank):
    rank(0)
    call_ranks(tmp_path, ENDED)
    rank(1)
    with pytest.raises(WorkFailed, match="the first rank ended before this one was needed; it says why"):
        follow(None, tmp_path)


LAUNCHER = """
import os, subprocess, sys, time
rank = subprocess.Popen([sys.executable, *sys.argv[1:]], env=os.environ | {"RANK": "1", "WORLD_SIZE": "2"})
print(rank.pid, flush=True)
time.sleep(100)
"""


@pytest.mark.slow
def test_a_launcher_that_is_killed_leaves_no_rank_behind(tmp_path):
    """The rank waits for a first one that never comes, as an orphan would."""
    command = [sys.executable, "-c", LAUNCHER, "-m", "ringlite_cli", "run", "toy", "--runs-dir", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    orphan = psutil.Process(int(launcher.stdout.readline()))
    try:
        time.sleep(1.5)
        assert orphan.is_running()
        launcher.kill()
        launcher.wait()
        orphan.wait(30)
    finally:
        launcher.kill()
        if orphan.is_running():
            orphan.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_two_ranks_walk_one_run(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m"]
    command += ["ringlite_cli", "run", "toy", "--to", "rl-math", "--runs-dir", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}

    def launch() -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    assert "skipped" not in launch()
    run = Path(tmp_path) / "toy"
    assert json.loads((run / CALLS).read_text()) == ["sft", "rl-math", None]
    rows = read_jsonl(run / "rl-math" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert json.loads((run / "rl-math" / "manifest.json").read_text())["status"] == "done"
    assert launch().count("skipped") == 4
