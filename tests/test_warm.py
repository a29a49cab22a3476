"""Warm processes are processes: ranks of a real group, their own environment, session, exit code and output."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import warm

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
RANK = """
import json, os, sys, torch, torch.distributed as dist

dist.init_process_group("gloo")
mine = torch.tensor([float(os.getpid())])
everyone = [torch.zeros(1) for _ in range(dist.get_world_size())]
dist.all_gather(everyone, mine)
facts = {"pid": os.getpid(), "session": os.getsid(0), "group": [int(x) for x in everyone], "argv": sys.argv[1:]}
facts |= {"rank": dist.get_rank(), "main": __name__, "folder": os.getcwd(), "given": os.environ.get("GIVEN")}
open(f"{sys.argv[1]}/{dist.get_rank()}.json", "w").write(json.dumps(facts))
os.write(1, ("said by %d" % dist.get_rank()).encode() + bytes([10]))
dist.barrier()
dist.destroy_process_group()
sys.exit(int(sys.argv[2]))
"""


def program(folder: Path, text: str) -> Path:
    file = folder / "program.py"
    file.write_text(text)
    return file


def test_a_launcher_s_ranks_are_a_real_group(tmp_path: Path) -> None:
    file = program(tmp_path, RANK)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    env = ENVIRONMENT | {"GIVEN": "yes"}
    done = warm.run([*launcher, str(file), str(tmp_path), "0"], timeout=200, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "said by 0", "said by 1"]
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    pids = [rank["pid"] for rank in ranks]
    assert len({*pids, os.getpid()}) == 3
    for number, rank in enumerate(ranks):
        assert rank["group"] == pids
        assert rank["session"] == rank["pid"]  # torchrun gives each a session of its own
        assert (rank["rank"], rank["main"], rank["folder"]) == (number, "__main__", str(tmp_path))
        assert (rank["argv"], rank["given"]) == ([str(tmp_path), "0"], "yes")


def test_a_rank_s_failure_is_the_launch_s(tmp_path: Path) -> None:
    file = program(tmp_path, RANK)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    done = warm.run([*launcher, str(file), str(tmp_path), "3"], timeout=200, env=ENVIRONMENT)
    assert done.returncode == 1
    assert "exitcode  : 3" in done.stderr


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("import sys; sys.exit('no')", 1, "no"),
        ("import atexit; atexit.register(print, 'at the end'); print(1 / 0)", 1, "ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import numpy, random, torch; print(random.random(), numpy.random.rand(), torch.rand(1).item())", 0, ""),
    ],
)
def test_a_program_ends_as_in_a_new_interpreter(tmp_path: Path, text: str, code: int, said: str) -> None:
    command = [sys.executable, str(program(tmp_path, text))]
    done = warm.run(command, timeout=100, env=ENVIRONMENT)
    new = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, new.returncode) == (code, code)
    assert said in done.stderr
    assert said in new.stderr
    if code:
        assert done.stdout == new.stdout
    else:  # no process draws what another does
        again = warm.run(command, timeout=100, env=ENVIRONMENT)
        assert all(one != other for one, other in zip(done.stdout.split(), again.stdout.split(), strict=True))


def test_a_module_runs_as_the_main_program() -> None:
    done = warm.run(
        [sys.executable, "-W", "ignore", "-m", "ringlite_cli", "check", "toy"], timeout=100, env=ENVIRONMENT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok" in done.stdout


def test_the_parent_is_gone_when_the_asker_is(tmp_path: Path) -> None:
    """As with a launcher that is killed."""
    waits = program(tmp_path, "import os, time\nfirst = os.getppid()\nwhile os.getppid() == first: time.sleep(0.01)")
    asks = tmp_path / "asks.py"
    asks.write_text(
        f"import sys, time, warm; print(warm.Popen([sys.executable, {str(waits)!r}]).pid, flush=True); time.sleep(99)"
    )
    with (tmp_path / "out").open("w+b") as out:
        env = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        asker = warm.Popen([sys.executable, str(asks)], env=env, stdout=out)
        while not (said := (tmp_path / "out").read_text()).endswith("\n"):
            time.sleep(0.02)
        waiting = psutil.Process(int(said))
        assert waiting.is_running()
        asker.kill()
        assert asker.wait(60) == -signal.SIGKILL
        waiting.wait(60)
