"""`ringlite run` under a launcher: one run folder, and the training stages on every rank."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import warm

from ringlite_cli.__main__ import run
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.runs import launcher, ranks
from ringlite_cli.runs.files import read_jsonl, write_json
from ringlite_cli.runs.ranks import note_failure
from ringlite_cli.runs.sharding import NUMBER_FORMAT
from ringlite_cli.runs.stopping import stop_now
from ringlite_cli.stages.calls import CALLS, ENDED, call_ranks, is_follower
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk import pipeline
from ringlite_cli.stages.walk import ranks as walk_ranks
from ringlite_cli.stages.walk.decide import Walk
from ringlite_cli.stages.walk.failures import as_told
from ringlite_cli.stages.walk.pipeline import run_pipeline
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


def failing_with(error):
    def run_stage(context):
        raise error

    return replace(KINDS["sft"], run=run_stage)


LOST = "Connection closed by peer [127.0.0.1]:8617"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ZeroDivisionError("by mine"),
            r"toy/sft: rank 1 failed: ZeroDivisionError: by mine \(.*test_ranks.py, line \d+",
        ),
        (MemoryError(), "rank 1 failed: .*toy/sft: the machine is out of memory.*; the same command goes on$"),
        (
            UserError("no such file", where="data"),
            "toy/sft: rank 1 failed: data: no such file; the same launch goes on",
        ),
        (RuntimeError(LOST), r"another rank of this run is gone \(Connection closed by peer"),
    ],
)
def test_the_first_rank_tells_what_another_one_failed_by(tmp_path, rank, error, told, monkeypatch):
    """It sees itself that a connection is closed, which is the consequence alone."""
    monkeypatch.setattr(walk_ranks, "ALONE", 0.0)
    monkeypatch.setitem(KINDS, "sft", failing_with(error))
    rank(0)
    call_ranks(tmp_path / "toy", "sft")
    rank(1)
    with pytest.raises((WorkFailed, type(error))):
        follow(load_checked("toy"), tmp_path / "toy")
    rank(0)
    monkeypatch.setitem(KINDS, "sft", failing_with(RuntimeError(LOST)))
    assert re.search(told, str(as_told(RuntimeError(LOST), tmp_path / "toy" / "sft")))


def test_a_rank_that_ended_without_a_word_is_named(tmp_path, rank, monkeypatch):
    monkeypatch.setattr(ranks, "WORD", 0.3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    rank(2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    note_failure(tmp_path, "")
    rank(0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    said = str(as_told(RuntimeError(LOST), tmp_path / "sft"))
    assert "sft: rank 1, 3 ended without a word: killed, or its machine is gone; the same launch goes on" in said


def test_a_rank_whose_recipe_lacks_the_stage_says_so(tmp_path, rank, monkeypatch):
    monkeypatch.setattr(walk_ranks, "ALONE", 0.0)
    rank(0)
    call_ranks(tmp_path, "sft-2")
    rank(1)
    with pytest.raises(WorkFailed, match=r"rank 1 failed where.*this rank's recipe has no stage 'sft-2'"):
        follow(load_checked("toy"), tmp_path)


def test_a_first_rank_that_is_stopped_because_another_failed_tells_that(tmp_path, rank, monkeypatch):
    def stopped(context):
        rank(1)
        note_failure(tmp_path / "toy", "by mine")
        rank(0)
        raise KeyboardInterrupt

    monkeypatch.setitem(KINDS, "curate", replace(KINDS["curate"], run=stopped))
    monkeypatch.setattr(pipeline, "check_before", lambda *_: None)
    rank(0)
    with pytest.raises(WorkFailed, match="curate: rank 1 failed: by mine"):
        run_pipeline(load_checked("toy"), tmp_path / "toy", Walk(["curate"]), Console())
    assert json.loads((tmp_path / "toy" / "curate" / "manifest.json").read_text())["status"] == "failed"


def test_a_failure_of_an_earlier_launch_is_not_told(tmp_path, rank):
    rank(1)
    note_failure(tmp_path, "long ago")
    os.utime(tmp_path / ".ranks.failed-1.json", (time.time() - 1e6,) * 2)
    rank(0)
    assert "long ago" not in ranks.why_lost(tmp_path, 0.0)


def test_a_launcher_that_stops_the_others_hides_no_failure(tmp_path, rank, monkeypatch):
    """It asks all ranks to stop once one has ended: while the first one writes down why, as it may be."""

    def stopped(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(*_)

    plain = pipeline.as_told
    monkeypatch.setattr(pipeline, "as_told", stopped)
    monkeypatch.setattr(ranks, "WORD", 0.3)
    monkeypatch.setitem(KINDS, "curate", replace(KINDS["curate"], run=failing_with(RuntimeError(LOST)).run))
    monkeypatch.setattr(pipeline, "check_before", lambda *_: None)
    rank(0)
    before = signal.signal(signal.SIGTERM, stop_now)
    try:
        with pytest.raises(WorkFailed, match="rank 1 ended without a word"):
            run_pipeline(load_checked("toy"), tmp_path / "toy", Walk(["curate"]), Console())
        assert signal.getsignal(signal.SIGTERM) is stop_now
    finally:
        signal.signal(signal.SIGTERM, before)
    manifest = json.loads((tmp_path / "toy" / "curate" / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert "rank 1 ended without a word" in manifest["message"]


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


OTHER = """
import os, sys
from ringlite_cli.__main__ import main
if os.environ["RANK"] == "1":
    sys.argv += ["--set", "name=other"]
main()
"""


@pytest.mark.slow
def test_a_rank_with_another_recipe_is_named_at_once(tmp_path):
    """It looked for the first rank in a folder of its own, for 15 minutes."""
    (tmp_path / "ranks.py").write_text(OTHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command += [str(tmp_path / "ranks.py"), "run", "toy", "--to", "curate", "--runs-dir", str(tmp_path / "runs")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = warm.run(command, timeout=120, env=environment)
    runs = (tmp_path / "runs").resolve()
    said = f"rank 1 runs 'other' in {runs}/other, and the first rank 'toy' in {runs}/toy; give all the same recipe"
    assert done.stderr.count(f"error: the ranks of this launch: {said}") == 1, done.stderr[-3000:]
    assert done.stderr.count("error: ") == 1
    assert not runs.exists()


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
