"""The launch files for many nodes: read by bash, and run with stand-ins of Slurm's commands that start real ranks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launches import free_port
from policies import write_tiny_policy
from sweeps import sample_of
from vllm_runs import wait_for

from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.runs.launcher import without_rank
from ringlite_cli.shipped import launch_file

ROOT = Path(__file__).parents[3]
SCRIPT = launch_file("slurm")

SRUN = """#!{python}
# A stand-in for srun: a task for each of SLURM_NNODES nodes times TASKS, all here.
import os, subprocess, sys

words = [word for word in sys.argv[1:] if word != "--kill-on-bad-exit=1"]
nodes, tasks = int(os.environ["SLURM_NNODES"]), int(os.environ.get("TASKS", "1"))
step = {{"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(nodes * tasks), "SLURM_STEP_NODELIST": "127.0.0.1"}}
step["SLURM_STEP_TASKS_PER_NODE"] = f"{{tasks}}(x{{nodes}})"
running = []
for number in range(nodes * tasks):
    task = {{"SLURM_PROCID": str(number), "SLURM_NODEID": str(number // tasks), "SLURM_LOCALID": str(number % tasks)}}
    running.append(subprocess.Popen(words, env=os.environ | step | task))
sys.exit(max(abs(process.wait()) for process in running))
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a batch job on two nodes of one GPU."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(SRUN.format(python=sys.executable))
    (folder / "scontrol").write_text("#!/bin/sh\necho 127.0.0.1\necho node-2\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    job = {"SLURM_JOB_ID": str(free_port()), "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node-[1-2]"}
    job |= {"SLURM_GPUS_ON_NODE": "1", "CONFIG": str(launch_file("ddp")), "PORT": str(free_port())}
    return without_rank(os.environ) | job | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def evaluation(folder: Path) -> list[str]:
    """Return the arguments of a small evaluation into `folder`/eval."""
    data = folder / "gsm8k.json"
    data.write_text(json.dumps([{"question": f"{i} + {i}?", "answer": f"#### {2 * i}"} for i in range(5)]))
    policy = write_tiny_policy(folder / "policy")
    given = ["--tasks", "gsm8k", "--data", f"gsm8k={data}", "--k", "2", "--max-new-tokens", "8"]
    return ["eval", "--model", str(policy), *given, "--out", str(folder / "eval")]


def test_bash_reads_the_script() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.parametrize(("asked", "used"), [(None, "fsdp2"), ("ddp", "ddp"), ("mine.yaml", "mine.yaml")])
def test_the_script_takes_accelerate_s_files_by_name_or_path(
    cluster: dict[str, str], tmp_path: Path, asked: str | None, used: str
) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "bin" / "srun").write_text('#!/bin/sh\necho "$CONFIG"\n')
    many = '#!/bin/sh\ni=0; while [ $i -lt 20000 ]; do echo "node-$i"; i=$((i + 1)); done\n'  # more than a pipe holds
    (tmp_path / "bin" / "scontrol").write_text(many)
    del cluster["CONFIG"]
    job = cluster | ({"CONFIG": asked} if asked else {})
    done = subprocess.run(["bash", SCRIPT], cwd=tmp_path, env=job, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == (used if "." in used else str(launch_file(used))), done.stderr


SAVES = """
import os, signal, sys, time
from pathlib import Path

def save(number, frame):
    time.sleep(2)
    Path(sys.argv[1], f"saved.{os.environ['RANK']}").touch()
    os._exit(130)

signal.signal(signal.SIGUSR1, save)
Path(sys.argv[1], f"ready.{os.environ['RANK']}").touch()
time.sleep(300)
"""
"""In place of ringlite: a rank that saves when it is warned, and takes its time."""


@pytest.mark.slow
def test_the_warning_before_the_end_reaches_the_ranks_and_leaves_their_launcher_alive(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    """Slurm sends it to a task's own process alone."""
    package = tmp_path / "instead" / "ringlite_cli"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(SAVES)
    (package / "__init__.py").touch()
    (tmp_path / "bin" / "srun").write_text(f'#!/bin/sh\nshift\necho $$ > {tmp_path}/task\nexec "$@"\n')
    job = cluster | {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_GPUS_ON_NODE": "2"}
    job |= {"PYTHONPATH": str(package.parent)}
    script = subprocess.Popen(["bash", str(SCRIPT), str(tmp_path)], cwd=tmp_path, env=job, start_new_session=True)
    try:
        wait_for(lambda: len(list(tmp_path.glob("ready.*"))) == 2, 120)
        os.kill(int((tmp_path / "task").read_text()), signal.SIGUSR1)
        time.sleep(1)
        assert script.poll() is None  # srun would end the step, and the ranks with it, before they have saved
        assert script.wait(60) == 1
    finally:
        if script.poll() is None:
            os.killpg(script.pid, signal.SIGKILL)
    assert sorted(path.name for path in tmp_path.glob("saved.*")) == ["saved.0", "saved.1"]


@pytest.mark.slow
@pytest.mark.parametrize("way", sample_of(["accelerate", "srun"], "srun"))
def test_two_nodes_draw_together(cluster: dict[str, str], tmp_path: Path, way: str) -> None:
    """One task a node that starts a launcher, and tasks that are ranks themselves."""
    words = ["bash", str(SCRIPT)] if way == "accelerate" else ["srun", sys.executable, "-m", "ringlite_cli"]
    done = subprocess.run(
        [*words, *evaluation(tmp_path)], env=cluster, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(tmp_path / "eval" / "scores.json")["gsm8k"]["n"] == 5
    assert len(read_jsonl(tmp_path / "eval" / "responses.jsonl")) == 10
    assert done.stdout.count("gsm8k") == 1  # the first rank alone speaks
    assert read_json(tmp_path / "eval" / ".ranks.json") == [None]
    assert len(read_json(tmp_path / "eval" / ".ranks.draws.json")) == 1
