"""Sessions are ended whole, and leave no shared memory behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from ringlite_cli.sessions import end_session, kill_session

HOLDER = """
import signal, sys, time
from multiprocessing.shared_memory import SharedMemory
signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = SharedMemory(create=True, size=100)
print(held.name, flush=True)
if sys.argv[1] == "stays":
    time.sleep(600)
import os
os._exit(1)
"""
SHARED = Path("/dev/shm")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs /dev/shm")
@pytest.mark.parametrize("how", ["stays", "dies"])
@pytest.mark.parametrize("end", [lambda leader: end_session(leader, 0.3), kill_session])
def test_what_killed_processes_shared_is_removed(how, end) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, how], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert holder.stdout is not None
    name = holder.stdout.readline().strip()
    if how == "dies":
        holder.wait(10)
    end(holder.pid)
    holder.wait(10)
    assert name
    assert not (SHARED / name).exists()
