"""One run on several ranks: rank 0 walks the recipe, and the others join it in the stages that train.

A launcher (`accelerate launch`, torchrun) starts the same command on every rank. Only rank 0 locks the run folder,
decides what is fresh and writes manifests; curation, selection and evaluation are its own. Where a stage is about to
train, it says so in a file of the run folder, which ranks on other machines see too, and they run that stage with it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ringlite_cli.console import Console, Progress
from ringlite_cli.errors import WorkFailed
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.stages.base import Context

CALLS = ".ranks.json"
ENDED = {"ended": True}
"""The call of a first rank that failed or was stopped: the others would wait for ever, where no launcher ends them."""
POLL = 0.2  # seconds


def is_follower() -> bool:
    """Whether this process is a launcher's rank other than the first."""
    return int(os.environ.get("RANK", "0")) > 0


def call_ranks(run: Path, stage: str | dict[str, bool] | None) -> None:
    """Rank 0 is about to train in `stage`, with its inputs in place; None: no more to join; ENDED: it gave up."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not is_follower():
        calls = _calls(run) if _is_of_this_launch(run) else []
        write_json(run / CALLS, [*calls, stage])


def follow(recipe: Recipe, run: Path) -> None:
    """Joins rank 0 in each stage that it calls for, until it is through. Raises what the stage raises."""
    from ringlite_cli.stages.kinds import KINDS

    joined = 0
    while True:
        calls = _calls(run)[joined:] if _is_of_this_launch(run) else []
        for stage in calls:
            if stage is None:
                return
            if stage == ENDED:
                raise WorkFailed(
                    "the first rank ended before this one was needed", hint="it says why in its own output"
                )
            joined += 1
            assert isinstance(stage, str)
            KINDS[recipe.stages[stage].kind].run(Context(recipe, stage, run, _Silent()))
        time.sleep(POLL)


def _calls(run: Path) -> list[str | dict[str, bool] | None]:
    return list(read_json(run / CALLS))


def _is_of_this_launch(run: Path) -> bool:
    """Ranks start together, and the first call comes seconds later: an older file is an earlier launch's."""
    try:
        return (run / CALLS).stat().st_mtime > psutil.Process().create_time()
    except FileNotFoundError:
        return False


class _Silent(Console):
    """What the first rank says is enough."""

    def say(self, text: str) -> None:
        pass

    def head(self, text: str) -> None:
        pass

    @contextmanager
    def progress(self, title: str, total: float) -> Iterator[Progress]:
        yield _NoProgress()


class _NoProgress:
    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        pass
