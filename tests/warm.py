"""Python processes that start with the libraries imported: importing them is most of what a short test of ranks costs.

A server, one for each test process that asks, imports torch, transformers and TRL once, and forks. What it forks is a
process as any other: its own session or its asker's, environment, folder, arguments, exit code; and a parent that ends
with its asker, as a launcher does. A launcher that starts this way starts its ranks this way too.

Use a new interpreter (subprocess) where its imports, its options or its signals while it starts are what is tested.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

ADDRESS = "WARM_SERVER"
"""The environment's name for the server's socket: a launcher asks the server that it comes from."""
AT_IMPORT = ("HF_HUB_OFFLINE", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES")
"""What libraries read while they are imported: it has to be what the server had."""
WAIT = 0.02


def run(command: Sequence[str], *, timeout: float, env: Mapping[str, str], cwd: Path | None = None) -> Any:
    """Do what subprocess.run does with its output captured as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Popen(command, env=env, cwd=cwd, stdout=out, stderr=err)
        try:
            process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, process.returncode, text_of(out), text_of(err))


def text_of(file: IO[bytes]) -> str:
    """Return all that was written into a file."""
    file.seek(0)
    return file.read().decode(errors="replace")


class Popen:
    """A process, with what of subprocess.Popen launchers and tests use.

    command: this Python, options `-W ignore` and `-u`, then `-m MODULE` or a file, and arguments.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
        start_new_session: bool = False,
    ) -> None:
        env = os.environ if env is None else env
        address = os.environ.get(ADDRESS) or _server()
        assert args[0] == sys.executable
        asked = {
            "arguments": [str(word) for word in args[1:]],
            "environment": {**env, ADDRESS: address},
            "folder": str(cwd or Path.cwd()),
            "session": start_new_session,
        }
        self.args, self.returncode = args, None
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(address)
        except ConnectionRefusedError:  # it was killed, where memory ran out, say
            if ADDRESS in os.environ:
                raise
            _server.cache_clear()
            asked["environment"][ADDRESS] = address = _server()
            self._connection.connect(address)
        files = [file.fileno() if file else number for number, file in ((1, stdout), (2, stderr))]
        socket.send_fds(self._connection, [b"."], files)
        self._connection.sendall(json.dumps(asked).encode() + b"\n")
        self._answers = self._connection.makefile("rb")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """Return the exit code, or None while the process is at work."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.returncode = int(self._answers.readline() or -signal.SIGKILL)
            self._connection.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.poll()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> str:
    """Start this process's server, and return the address of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    address = str(Path(folder.name) / "socket")
    log = (Path(folder.name) / "log").open("w+b")
    process = subprocess.Popen([sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=log, stderr=log)
    end = time.monotonic() + 300
    while not Path(address).exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"no server of warm processes: {text_of(log)[-2000:]}")
        time.sleep(WAIT)
    _kept.extend([folder, process])
    return address


_kept: list[Any] = []
"""The server ends when the pipe to it is closed, with this process."""


def _serve(address: str) -> None:
    """Fork a process for each who asks, until the one who started this server is gone."""
    import peft  # noqa: F401
    import torch.distributed.launcher.api  # noqa: F401
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
    from trl import GRPOTrainer, SFTTrainer  # noqa: F401

    subprocess_handler.Popen = Popen  # torchrun's ranks
    whole = subprocess_handler.SubprocessHandler.close

    def close(rank: Any, signal_number: Any = None) -> None:
        with contextlib.suppress(
            ProcessLookupError
        ):  # it has ended; of a child of its own some would be left until then
            whole(rank, signal_number)

    subprocess_handler.SubprocessHandler.close = close
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address + ".new")
    listener.listen()
    Path(address + ".new").rename(address)
    while True:
        ready = select.select([listener, sys.stdin], [], [])[0]
        if sys.stdin in ready:
            os._exit(0)
        connection = listener.accept()[0]
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(connection)
            return
        connection.close()


def _answer(connection: socket.socket) -> None:
    """Fork the process that is asked for, and say how it ended. Returns in that process alone, made what was asked."""
    _, files, _, _ = socket.recv_fds(connection, 1, 2)
    asked = json.loads(connection.makefile("rb").readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(asked, *files)
        return
    for file in files:
        os.close(file)
    connection.sendall(b"%d\n" % pid)
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if select.select([connection], [], [], WAIT)[0]:
            os._exit(0)  # who asked is gone
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(ended[1]))
    os._exit(0)


def _become(asked: dict[str, Any], out: int, err: int) -> None:
    if asked["session"]:
        os.setsid()
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(file, number)
        os.close(file)
    differs = [name for name in AT_IMPORT if asked["environment"].get(name) != os.environ.get(name)]
    assert not differs, f"{differs} were read while the libraries were imported; use subprocess"
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    tempfile.tempdir = None
    import numpy
    import torch

    numpy.random.seed(None)  # as in a new process; Python's own is seeded by the fork
    torch.seed()
    _START.extend(asked["arguments"])
    now = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = now + [path for path in sys.path[1:] if path not in before]


_START: list[str] = []


def _end(words: list[str]) -> NoReturn:
    """Run a Python command line as an interpreter does, and end as it does, but for taking every module apart."""
    code: Any = 1
    try:
        _start(words)
        code = 0
    except SystemExit as end:
        code = end.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 255)


def _start(words: list[str]) -> None:
    """Run a Python command line's module or file as the main program."""
    while words[0] in ("-u", "-W"):
        if words.pop(0) == "-W":
            warnings.simplefilter(words.pop(0))  # type: ignore[arg-type]
    if words[0] == "-m":
        sys.argv[:] = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1])
    _end(_START)
