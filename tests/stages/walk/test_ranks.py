"""`ringlite run` under a launcher: one run folder, and the training stages on every rank."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import warm

from ringlite_cli.__main__ import run
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.runs import launcher
from ringlite_cli.runs.files import read_jsonl, write_json
from ringlite_cli.runs.sharding import NUMBER_FORMAT
from ringlite_cli.stages.calls import CALLS, ENDED, call_ranks, is_follower
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk import ranks as walk_ranks
from ringlite_cli.stages.walk.ranks import follow


@pytest.fixture
def rank(monkeypatch):
    def become(number: int) -> None:
        monkeypatch.setenv("RANK", str(number))
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setattr(launcher, "LAST", 0.0)

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


@pytest.mark.parametrize("local", ["0", "1"])
def test_a_rank_that_fails_where_the_first_one_does_not_says_so_itself(tmp_path, rank, local, monkeypatch, capsys):
    monkeypatch.setattr(walk_ranks, "ALONE", 0.0)
    monkeypatch.setenv("LOCAL_RANK", local)

    def failing(context):
        raise UserError("no such file", where="data")

    monkeypatch.setitem(KINDS, "sft", replace(KINDS["sft"], run=failing))
    rank(0)
    call_ranks(tmp_path / "toy", "sft")
    rank(1)
    assert run(["run", "toy", "--runs-dir", str(tmp_path)]) == 1
    assert "rank 1 failed where the first one did not: data: no such file" in capsys.readouterr().err


def test_a_stage_on_a_rank_knows_nothing_of_the_launcher_s_number_format(tmp_path, rank, monkeypatch):
    monkeypatch.setenv(NUMBER_FORMAT, "bf16")
    seen = []
    monkeypatch.setitem(
        KINDS, "sft", replace(KINDS["sft"], run=lambda context: seen.append(os.environ.get(NUMBER_FORMAT)))
    )
    rank(0)
    call_ranks(tmp_path / "toy", "sft")
    call_ranks(tmp_path / "toy", None)
    rank(1)
    assert run(["run", "toy", "--runs-dir", str(tmp_path)]) == 0
    assert seen == [None]


@pytest.mark.parametrize(("local", "told"), [("0", True), ("1", False), ("7", False)])
def test_a_wrong_command_is_told_by_the_first_rank_of_a_machine(rank, local, told, monkeypatch, capsys):
    rank(8)
    monkeypatch.setenv("LOCAL_RANK", local)
    assert run(["run", "no-such-recipe"]) == 2
    assert ("no-such-recipe" in capsys.readouterr().err) == told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "no-such-recipe"], "no-such-recipe"),
        (["run", "toy", "--set", "stages.rl-math.token_budget=1"], "token_budget"),
    ],
    ids=["command", "recipe"],
)
def test_a_rank_without_a_word_ends_after_the_one_that_speaks(words, message, tmp_path):
    """torchrun ends all ranks as soon as one has ended: it would cut off what the first one is about to say."""
    program = Path(__file__).parents[2] / "slow_to_speak.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(program)]
    done = warm.run(
        [*command, *words, "--runs-dir", str(tmp_path)], timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1, done.stderr
    assert message in done.stderr


LAUNCHER = """
import os, subprocess, sys, time
rank = subprocess.Popen([sys.executable, *sys.argv[1:]], env=os.environ | {
    "RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"})
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
        done = warm.run(command, timeout=300, env=environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        assert done.stdout.count("[1/4] curate") == 1
        assert "UserWarning" not in done.stdout + done.stderr
        assert done.stderr.count("ringlite ") == 1
        return done.stdout

    assert "skipped" not in launch()
    run = Path(tmp_path) / "toy"
    other = (run / "run.rank-1.log").read_text()
    assert other.startswith("---- ")
    assert "[2/4] sft" not in other  # the first rank alone speaks; this log has what libraries printed on this rank
    assert json.loads((run / CALLS).read_text()) == ["sft", "rl-math", None]
    rows = read_jsonl(run / "rl-math" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert json.loads((run / "rl-math" / "manifest.json").read_text())["status"] == "done"
    assert launch().count("skipped") == 4
