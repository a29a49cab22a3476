"""One run on several ranks: rank 0 walks the recipe, and the others join it where it trains and where it draws.

A launcher (`accelerate launch`, torchrun, srun) starts the same command on every rank. Only rank 0 locks the run
folder, decides what is fresh and writes manifests. Where a stage is about to train, or to draw responses, it says so in
a file of the run folder, which ranks on other machines see too: they run a training stage with it, and draw their share
of responses. In between they wait for that file, and for no collective.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ringlite_cli.console import Console, Progress
from ringlite_cli.errors import FirstRankEnded, RankLost, UserError, WorkFailed
from ringlite_cli.recipe.own_names import use_own_code
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.ranks import (
    BEAT,
    ENDED,
    Call,
    Listener,
    calls_so_far,
    check_first_rank,
    draws_so_far,
    note_failure,
    rank,
)
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.failures import as_failure, as_words
from ringlite_cli.terminal.screen import log_to, screen

POLL = 0.2  # seconds
ALONE = 10.0
"""Seconds after its own failure in which a rank waits for the first one to fail as well, before it speaks itself."""


def follow(recipe: Recipe | None, run: Path) -> None:
    """Join rank 0 in each stage that it calls for, until it is through. Raises what the stage raises.

    recipe: None where the command has none, and nothing is trained.
    """
    if recipe is not None:
        use_own_code(recipe)
    joined, drawn, listener = 0, 0, Listener(run / BEAT)
    with ExitStack() as log:
        while True:
            for stage, session in draws_so_far(run)[drawn:]:
                drawn += 1
                _keep_log(log, run)
                _help(run, stage, session, listener)
            for call in calls_so_far(run)[joined:]:
                joined += 1
                if call is None:
                    return
                _keep_log(log, run)
                _join(recipe, run, call)
            check_first_rank(listener, run)
            time.sleep(POLL)


def _keep_log(log: ExitStack, run: Path) -> None:
    """Have what this rank says and what libraries print here kept in a file of its own, from its first work on."""
    file = run / f"run.rank-{rank()}.log"
    if screen().log_path != file:
        log.enter_context(log_to(file, f"process {os.getpid()} on {socket.gethostname()}"))


def _join(recipe: Recipe | None, run: Path, call: Call) -> None:
    if call == ENDED:
        raise FirstRankEnded("the first rank ended before this one was needed", hint="it says why in its own output")
    assert isinstance(call, str)
    assert recipe is not None
    try:
        if call not in recipe.stages:
            hint = "the recipe must be the same for all ranks"
            raise UserError(
                f"this rank's recipe has no stage {call!r}, which the first one runs", where=str(run), hint=hint
            )
        KINDS[recipe.stages[call].kind].run(Context(recipe, call, run, _Silent()))
    except Exception as error:
        failure = as_failure(error, run / call)
        note_failure(run, "" if isinstance(failure, RankLost) else str(failure or as_words(error)))
        if failure is None:
            raise
        _leave_it_to_the_first(run)
        if isinstance(failure, RankLost):
            raise failure from None
        raise WorkFailed(f"rank {rank()} failed where the first one did not: {failure}") from error


def _leave_it_to_the_first(run: Path) -> None:
    """Raises FirstRankEnded where the first rank ends too, within a few seconds: it says what failed for all."""
    until = time.monotonic() + ALONE
    while time.monotonic() < until:
        if ENDED in calls_so_far(run):
            raise FirstRankEnded("the first rank ended in the same stage", hint="it says why in its own output")
        time.sleep(POLL)


def _help(run: Path, stage: str, session: str, listener: Listener) -> None:
    from ringlite_cli.sampling.shared.child import help_session
    from ringlite_cli.sampling.shared.session import FOLDER

    def check() -> None:
        check_first_rank(listener, run)
        if ENDED in calls_so_far(run):
            raise FirstRankEnded(
                "the first rank ended while responses were drawn", hint="it says why in its own output"
            )

    help_session(run / stage / FOLDER / session, rank(), check)


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
    def update(self, done: float, total: float | None = None, note: str = "", share: float | None = None) -> None:
        pass
