"""`ringlite status`: where a run is, while it runs, after it ended, and after it was killed."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.runs.folder import LOCK, holder, lock_run
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.runs.pulse import FILE, Pulse, seconds_told
from ringlite_cli.stages.commands.status import duration, status_data, status_text
from ringlite_cli.train.resume.checkpoints import SEAL


def stage(run: Path, name: str, status: str, **more: str) -> Path:
    (run / name).mkdir(parents=True, exist_ok=True)
    Manifest(name, "rl", status, "f", 1, {}, [], **more).write(run / name)
    return run / name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    stage(tmp_path, "curate", "done", note="90 of 100 rows kept")
    (tmp_path / "recipe.json").write_text(json.dumps({"stages": {"curate": {}, "rl": {}, "eval": {}}}))
    clock = iter((0.0, 0.0, 0.0, 2.0, 2.0, 3.0)).__next__
    pulse = Pulse(stage(tmp_path, "rl", "running"), clock)
    pulse.update("rl", 10, 50, "reward 0.2")
    pulse.update("rl", 11, 50, "reward 0.3")
    pulse.warn("the entropy is low")
    rows = [{"step": step, "reward": 0.3, "entropy": 0.25, "rollout_tokens_per_second": 5000.0} for step in (10, 11)]
    (tmp_path / "rl" / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 12, "rew'
    )
    return tmp_path


def test_a_run_at_work_says_stage_step_rate_time_left_and_last_warning(run: Path) -> None:
    with lock_run(run):
        said = status_text(run)
    assert f"process {os.getpid()} on {socket.gethostname()} is at work" in said
    assert "curate       done: 90 of 100 rows kept" in said
    assert "rl: 11 of 50 (22 %), 2.0 s each, 1 min 18 s left of this; reward 0.3" in said
    assert "last warning: the entropy is low" in said
    assert "MiB" in said
    assert "step 11: reward 0.3 mean of 0 and 1, entropy 0.25 nats per token, rollout speed 5,000 tokens/s" in said
    assert "eval         not started" in said


def test_a_killed_run_is_told_apart_from_one_at_work(run: Path) -> None:
    said = status_text(run)
    assert "no process is at work" in said
    assert "stopped without a word (killed, or out of memory); the same command goes on" in said
    assert "rl: 11 of 50 (22 %); reward 0.3" in said
    assert "left" not in said, "nobody works on it, and steps behind the checkpoint are lost"
    assert "it goes on from its start: no checkpoint" in said
    (run / "rl" / "checkpoints" / "checkpoint-10").mkdir(parents=True)
    (run / "rl" / "checkpoints" / "checkpoint-10" / SEAL).touch()
    assert "it goes on after step 10, its last checkpoint" in status_text(run)


def test_the_seconds_of_a_killed_process_are_by_a_clock_that_is_never_put_back(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path, iter((5.0, 10.0, 10.0, 95.0, 95.0)).__next__)
    pulse.update("rl", 1, 50, "")
    pulse.update("rl", 2, 50, "")
    row = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(row | {"updated": "1999-01-01T00:00:00+00:00"}))
    assert seconds_told(tmp_path) == 90.0
    del row["seconds"]
    told = {"started": "2026-01-01T00:00:00+00:00", "updated": "2026-01-01T00:00:30+00:00"}  # of earlier releases
    (tmp_path / FILE).write_text(json.dumps(row | told))
    assert seconds_told(tmp_path) == 30.0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"done": "x", "total": [], "updated": 5}', '{"updated": "soon"}'])
def test_a_broken_pulse_is_no_reason_to_say_nothing(run: Path, content: str) -> None:
    (run / "rl" / FILE).write_text(content)
    assert "curate       done" in status_text(run)


def test_a_clock_that_was_put_back_is_named(run: Path) -> None:
    (run / "rl" / FILE).write_text('{"updated": "2999-01-01T00:00:00+00:00"}')
    assert "which this machine's clock calls the future" in status_text(run)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        status_text(tmp_path / "nowhere")
    (tmp_path / "report.html").touch()
    with pytest.raises(UserError, match=f"that is a file, and a run is a folder; give {tmp_path}"):
        status_text(tmp_path / "report.html")
    with pytest.raises(UserError, match="not a run"):
        status_text(tmp_path)
    with pytest.raises(UserError, match=f"one stage of a run; give the run, {tmp_path}"):
        status_text(stage(tmp_path, "sft", "done"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h"), (-5, "0 s")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


HOLDS = "import sys, time; from pathlib import Path; from ringlite_cli.runs.folder import LOCK, holder, lock_run\n"
HOLDS += "with lock_run(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_two_processes_on_one_folder_the_second_names_the_first_until_it_dies(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(
                UserError, match=f"process {first.pid} on {socket.gethostname()} is writing to this run; wait"
            ),
            lock_run(tmp_path),
        ):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with lock_run(tmp_path):  # a lock that a killed process held holds no longer
            pass
    finally:
        first.kill()


def test_a_lock_that_another_machine_left_is_free_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A job that was killed and goes on on another node: the system let go of its lock, what it wrote stays."""
    (tmp_path / LOCK).write_text("12 on node-3\n")
    with lock_run(tmp_path):
        assert holder(tmp_path) == f"{os.getpid()} on {socket.gethostname()}"
    assert "process 12 on node-3 held this run and did not end cleanly" in caplog.text
    assert (tmp_path / LOCK).read_text() == ""


def test_a_process_that_only_asks_who_holds_a_run_refuses_nobody(tmp_path: Path) -> None:
    """`ringlite status` looks by a shared lock, for a moment; a run that starts in it waits for that moment."""
    with (tmp_path / LOCK).open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        ends = threading.Timer(0.2, fcntl.flock, (asking, fcntl.LOCK_UN))
        ends.start()
        with lock_run(tmp_path):
            assert holder(tmp_path) == f"{os.getpid()} on {socket.gethostname()}"
        ends.join()


def _no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("holds", ["here", "elsewhere", "nobody", "dead"])
def test_a_file_system_without_locks_goes_by_what_the_lock_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: str
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    said = {"here": f"{os.getppid()} on {host}", "elsewhere": "1 on node-3", "dead": f"{dead.pid} on {host}"}
    (tmp_path / LOCK).write_text(said.get(holds, ""))
    monkeypatch.setattr("fcntl.flock", _no_locks)
    if holds in ("nobody", "dead"):
        with lock_run(tmp_path):
            pass
        return
    with (
        pytest.raises(UserError, match=rf"process {said[holds]} is writing .*if it is gone, remove .*\.lock"),
        lock_run(tmp_path),
    ):
        pass
    assert holder(tmp_path) == said[holds]


def test_rates_do_not_know_the_time_of_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: -1e9)
    pulse = Pulse(tmp_path)
    pulse.update("x", 1, 3, "")
    time.sleep(0.01)
    pulse.update("x", 2, 3, "")
    assert 0 < pulse.rate < 100


def test_a_file_system_that_says_no_permission_for_a_held_lock_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).write_text("12 on node-3\n")

    def held(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("fcntl.flock", held)
    with pytest.raises(UserError, match="process 12 on node-3 is writing to this run; wait"), lock_run(tmp_path):
        pass
    assert holder(tmp_path) == "12 on node-3"


def test_a_stage_that_read_an_earlier_result_is_not_told_as_done_and_no_more(tmp_path: Path) -> None:
    read = {"rl/policy": {"path": "rl/policy", "digest": "sha256:old"}}
    Manifest("eval", "eval", "done", "f", 1, {}, [], inputs=read, started="2026-01-01T10:00:00+00:00").write(
        stage(tmp_path, "eval", "done")
    )
    made = {"policy": {"path": "rl/policy", "digest": "sha256:old"}}
    rl = Manifest("rl", "rl", "done", "f", 1, {}, [], outputs=made, started="2026-01-01T09:00:00+00:00")
    rl.write(stage(tmp_path, "rl", "done"))
    assert [row["made_from_earlier"] for row in status_data(tmp_path)["stages"]] == [[], []]
    rl.outputs, rl.status = {}, "failed"
    rl.write(tmp_path / "rl")
    assert "earlier" not in status_text(tmp_path)
    rl.started = "2026-01-01T11:00:00+00:00"  # it began anew
    rl.write(tmp_path / "rl")
    assert "eval         done; made from an earlier rl: `ringlite run` makes it again" in status_text(tmp_path)
    rl.outputs, rl.status = {"policy": made["policy"] | {"digest": "sha256:new"}}, "done"
    rl.write(tmp_path / "rl")
    assert [row["made_from_earlier"] for row in status_data(tmp_path)["stages"]] == [["rl"], []]


def test_a_stage_that_is_not_at_its_end_is_not_told_as_all(tmp_path: Path) -> None:
    Pulse(stage(tmp_path, "rl", "running")).update("rl", 399, 400, "")
    assert "rl: 399 of 400 (99.8 %)" in status_text(tmp_path)


def test_numbers_that_are_none_are_left_out(run: Path) -> None:
    nan, inf = float("nan"), float("inf")
    row = json.loads((run / "rl" / FILE).read_text())
    broken = {"done": nan, "total": inf, "rate": inf, "memory_mb": nan}
    left = {"seconds": nan, "at_most": False, "unknown": []}
    (run / "rl" / FILE).write_text(json.dumps(row | broken | {"left": left}))
    steps = {"step": 12, "reward": nan, "entropy": inf, "kl": None, "rollout_tokens_per_second": 10**400}
    (run / "rl" / "metrics.jsonl").write_text(json.dumps(steps) + "\n")
    with lock_run(run):
        said = status_text(run)
    assert "nan" not in said
    assert "inf" not in said
    assert "last warning: the entropy is low" in said
