"""The ranks of a launch, and the calls by which rank 0 brings the others into a stage: a file of the run folder.

A launcher (`accelerate launch`, torchrun, srun) starts the same command on every rank. A file is seen by ranks on other
machines too, and ranks that wait for one wait for no collective: no time limit of NCCL's or gloo's runs meanwhile.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ringlite_cli.beside import beside
from ringlite_cli.errors import WorkFailed
from ringlite_cli.runs.files import read_json, write_json

CALLS, DRAWS, BEAT = ".ranks.json", ".ranks.draws.json", ".ranks.beat"
ENDED = {"ended": True}
"""The call of a first rank that failed or was stopped: the others would wait for ever, where no launcher ends them."""
BEATS = 5.0
"""Seconds between two signs of life that a rank gives."""
SILENCE = 900.0
"""Seconds without a sign of life of the first rank after which the others give up."""
WORD = 5.0
"""Seconds that the first rank waits, where another one is gone, for what the others say of it."""
_LOOKS = 0.1

Call = str | dict[str, bool] | None


def world_size(environment: Mapping[str, str] = os.environ) -> int:
    """Ranks of this launch, on all machines; 1 without a launcher."""
    return int(environment.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this rank, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_follower() -> bool:
    """Return whether this process is a launcher's rank other than the first."""
    return rank() > 0


def speaks_for_its_machine() -> bool:
    """Return whether this rank tells what is wrong with the command itself: the first of its machine, as all see it."""
    local = os.environ.get("LOCAL_RANK", "0")
    return not local.isdigit() or int(local) == 0


def call_ranks(run: Path, stage: Call) -> None:
    """Rank 0 is about to train in `stage`, with its inputs in place; None: no more to join; ENDED: it gave up."""
    if world_size() > 1 and not is_follower():
        write_json(run / CALLS, [*calls_so_far(run), stage])


def call_to_draw(run: Path, stage: str, session: str) -> None:
    """Rank 0 deals responses out in a session of `stage`, which the others may join until it ends."""
    if world_size() > 1 and not is_follower():
        write_json(run / DRAWS, [*draws_so_far(run), [stage, session]])


def calls_so_far(run: Path) -> list[Call]:
    """Return the calls of this launch, in order: [] where rank 0 has made none."""
    return list(read_json(run / CALLS)) if _is_of_this_launch(run / CALLS) else []


def draws_so_far(run: Path) -> list[tuple[str, str]]:
    """Return stage and name of this launch's sessions, in order."""
    found = read_json(run / DRAWS) if _is_of_this_launch(run / DRAWS) else []
    return [(stage, session) for stage, session in found]


def _is_of_this_launch(file: Path) -> bool:
    """Ranks start together, and the first call comes seconds later: an older file is an earlier launch's."""
    import psutil

    try:
        return file.stat().st_mtime > psutil.Process().create_time()
    except FileNotFoundError:
        return False


@contextmanager
def others_end_too(run: Path) -> Iterator[None]:
    """Tell the launcher's other ranks where the first one fails in this block: they would wait for its call."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            call_ranks(run, ENDED)
        raise


@contextmanager
def signs_of_life(file: Path, seconds: float = BEATS) -> Iterator[None]:
    """Write a growing number into `file` during the block, from a thread; a missing folder is borne."""

    def beat(over: threading.Event) -> None:
        count = 0
        while True:
            with suppress(OSError):
                file.write_text(str(count))
            if over.wait(seconds):
                return
            count += 1

    try:
        with beside(beat, "signs-of-life"):
            yield
    finally:
        with suppress(OSError):
            file.unlink()


@contextmanager
def signs_for_others(run: Path) -> Iterator[None]:
    """Show the other ranks during the block, by a file of the run folder, that the first one lives."""
    if world_size() == 1 or is_follower():
        yield
        return
    with signs_of_life(run / BEAT):
        yield


def note_failure(run: Path, why: str) -> None:
    """Write down, for the first rank to tell, why this one failed in training; "" where it only lost another one."""
    with suppress(OSError):
        write_json(run / _failure_file(rank()), why)


def why_lost(run: Path, seconds: float | None = None) -> str:
    """Return which other rank of this launch failed in training, and why, or else which are silent; "" alone.

    A rank that fails writes its reason (`note_failure`), a killed one does not. Waits `seconds` (WORD) at most, and no
    longer once a reason is there, every other rank has written, or this one is asked to stop.
    """
    others = range(1, world_size())
    until = time.monotonic() + (WORD if seconds is None else seconds)
    noted = _noted(run, others)
    with suppress(KeyboardInterrupt):
        while not any(noted.values()) and len(noted) < len(others) and time.monotonic() < until:
            time.sleep(_LOOKS)
            noted = _noted(run, others)
    if why := failed_rank(run):
        return why
    silent = [str(number) for number in others if number not in noted]
    most = ", ".join(silent[:8]) + (", ..." if len(silent) > 8 else "")
    return f"rank {most} ended without a word: killed, or its machine is gone" if silent else ""


def failed_rank(run: Path) -> str:
    """Return which other rank of this launch was the first to write down why it failed, and its words; "" for none."""
    failed = {number: why for number, why in _noted(run, range(1, world_size())).items() if why}
    if not failed:
        return ""
    first = min(failed, key=lambda number: (run / _failure_file(number)).stat().st_mtime)
    return f"rank {first} failed: {failed[first]}"


def _noted(run: Path, others: range) -> dict[int, str]:
    """Return what ranks of this launch wrote down of their failure."""
    files = {number: run / _failure_file(number) for number in others}
    return {number: str(read_json(file)) for number, file in files.items() if _is_of_this_launch(file)}


def _failure_file(number: int) -> str:
    return f".ranks.failed-{number}.json"


class Listener:
    """Tells by a file of `signs_of_life` whether its writer still lives. Clocks of other machines do not matter."""

    def __init__(self, file: Path, silence: float | None = None) -> None:
        self.file, self.silence = file, SILENCE if silence is None else silence
        self._last = ""
        self._since = time.monotonic()

    def is_silent(self) -> bool:
        """Return whether the file is as it was for `silence` seconds, or was not there for as long."""
        try:
            now = self.file.read_text()
        except OSError:
            now = ""
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        return time.monotonic() - self._since > self.silence


def check_first_rank(listener: Listener, run: Path) -> None:
    """Raise WorkFailed where the first rank gives no sign of life: it is gone, or its run folder is not seen here."""
    if listener.is_silent():
        raise WorkFailed(
            f"rank {rank()} has had no sign of the first rank for {listener.silence:,.0f} s",
            where=str(run),
            hint="the run folder must lie on a file system that all ranks share; if it does, the first rank is gone: "
            "start the same launch again",
        )
