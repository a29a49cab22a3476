"""One run on several ranks: rank 0 walks the recipe, and the others join it in the stages that train.

A launcher (`accelerate launch`, torchrun) starts the same command on every rank. Only rank 0 locks the run folder,
decides what is fresh and writes manifests; curation, selection and evaluation are its own. Where a stage is about to
train, it says so in a file of the run folder, which ranks on other machines see too, and they run that stage with it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringlite_cli.console import Console, Progress
from ringlite_cli.errors import WorkFailed
from ringlite_cli.recipe.own_names import use_own_code
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.calls import ENDED, calls_so_far
from ringlite_cli.stages.kinds import KINDS

POLL = 0.2  # seconds


def follow(recipe: Recipe, run: Path) -> None:
    """Joins rank 0 in each stage that it calls for, until it is through. Raises what the stage raises."""
    use_own_code(recipe)
    joined = 0
    while True:
        for stage in calls_so_far(run)[joined:]:
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
