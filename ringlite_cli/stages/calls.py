"""The calls by which rank 0 brings the other ranks into a stage that trains: a file of the run folder.

A launcher (`accelerate launch`, torchrun) starts the same command on every rank. A file is seen by ranks on other
machines too.
"""

import os
from pathlib import Path

import psutil

from ringlite_cli.runs.files import read_json, write_json

CALLS = ".ranks.json"
ENDED = {"ended": True}
"""The call of a first rank that failed or was stopped: the others would wait for ever, where no launcher ends them."""


def is_follower() -> bool:
    """Whether this process is a launcher's rank other than the first."""
    return int(os.environ.get("RANK", "0")) > 0


def call_ranks(run: Path, stage: str | dict[str, bool] | None) -> None:
    """Rank 0 is about to train in `stage`, with its inputs in place; None: no more to join; ENDED: it gave up."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not is_follower():
        write_json(run / CALLS, [*calls_so_far(run), stage])


def calls_so_far(run: Path) -> list[str | dict[str, bool] | None]:
    """Return the calls of this launch, in order: [] where rank 0 has made none."""
    return list(read_json(run / CALLS)) if _is_of_this_launch(run) else []


def _is_of_this_launch(run: Path) -> bool:
    """Ranks start together, and the first call comes seconds later: an older file is an earlier launch's."""
    try:
        return (run / CALLS).stat().st_mtime > psutil.Process().create_time()
    except FileNotFoundError:
        return False
