"""A verifier's processes that die under it: asked again in new ones, and the verdicts are the same."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

PAIRS = [(Problem(f"p{i}", "math", "", answer=f"\\frac{{{i}}}{{7}}"), f"\\boxed{{{2 * i}/14}}") for i in range(1, 7)]


def workers() -> list[int]:
    """Processes of the math pool that this process started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"reward_worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


@pytest.mark.slow
def test_workers_that_are_killed_in_mid_batch_cost_no_verdict() -> None:
    killed: list[int] = []
    with Verifiers(VerifierSettings(workers=1, isolation="none")) as verify:
        assert [v.verdict for v in verify(PAIRS[:1])] == ["correct"]

        def kill_once() -> None:
            time.sleep(0.01)
            for pid in workers():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        killer = threading.Thread(target=kill_once)
        killer.start()
        verdicts = verify(PAIRS[1:])
        killer.join()
        assert killed
        assert [v.verdict for v in verdicts] == ["correct"] * 5
        assert [v.verdict for v in verify([(PAIRS[0][0], "\\boxed{3/20}")])] == ["wrong"]
