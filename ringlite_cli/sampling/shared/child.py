"""A rank's part in a session: its helper process, on the GPUs that are the rank's, watched until the session ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ringlite_cli.errors import WorkFailed
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.launcher import without_rank
from ringlite_cli.sampling.shared.failures import write_failure
from ringlite_cli.sampling.shared.helper import ENDED, SESSION
from ringlite_cli.sessions import kill_session

_GRACE = 20.0
"""Seconds that a helper may take to end when its session has ended."""
_POLL = 0.2
_TAIL = 3


class Child:
    """The helper process of this rank."""

    def __init__(self, session: Path, rank: int, gpus: Sequence[str] | None) -> None:
        """Start it. gpus: names for CUDA_VISIBLE_DEVICES; None: leave that as it is."""
        self.session, self.rank = session, rank
        self._log = session / f"rank-{rank}.log"
        environment = without_rank(os.environ)
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ringlite_cli.sampling.shared.helper", str(session), str(rank)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise WorkFailed where it has ended before the session."""
        code = self._process.poll()
        if code is not None and not (self.session / ENDED).exists():
            raise WorkFailed(f"the process that draws responses on rank {self.rank} {_how(code)}{self._last_words()}")

    def end(self, grace: float = _GRACE) -> None:
        """Wait until it has ended by itself, and kill it after `grace` seconds."""
        until = time.monotonic() + grace
        while self._process.poll() is None and time.monotonic() < until:
            time.sleep(_POLL)
        kill_session(self._process.pid)  # its engine's workers, too
        self._process.wait()

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        told = [line.strip()[-200:] for line in lines if line.strip()][-_TAIL:]
        return f" ({' | '.join(told)})" if told else ""


def help_session(session: Path, rank: int, check: Callable[[], None]) -> None:
    """Take part in a session of the first rank until it ends.

    check: called now and then; raises where the first rank is gone. A helper that dies is told to the first rank, which
    ends the run.
    """
    try:
        leads, gpus = gpus_of_rank(Engine(**read_json(session / SESSION)["engine"]))
        child = Child(session, rank, gpus) if leads else None
    except FileNotFoundError:
        return  # it ended well before this rank came
    told = False
    try:
        while session.exists() and not (session / ENDED).exists():
            check()
            try:
                if child is not None and not told:
                    child.check()
            except WorkFailed as error:
                told = True
                with suppress(OSError):
                    write_failure(session, rank, error)
            time.sleep(_POLL)
    except BaseException:
        if child is not None:
            child.end(grace=0)
        raise
    if child is not None:
        child.end()


def gpus_of_rank(engine: Engine) -> tuple[bool, list[str] | None]:
    """Return whether this rank draws, and the GPUs that its engine gets; None where the machine has none.

    The GPUs of a machine go to its ranks in order, `tensor_parallel_size` each; ranks for which none is left wait.
    """
    from ringlite_cli.sampling.opening import chosen

    place, gpus = int(os.environ.get("LOCAL_RANK", "0")), _visible_gpus()
    if not gpus:
        return True, None
    width = engine.tensor_parallel_size if chosen(engine) == "vllm" else 1
    mine = gpus[place * width : (place + 1) * width]
    return len(mine) == width, mine


def _visible_gpus() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES of the GPUs that this process sees."""
    import torch

    if not torch.cuda.is_available():
        return []
    named, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    every = [str(number) for number in range(count)] if named is None else named.split(",")
    return every[:count]


def _how(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
