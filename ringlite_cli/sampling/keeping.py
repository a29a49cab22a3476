"""One vLLM engine for a whole run: it stays from one stage that draws to the next, and ends where others need memory.

Outside of a run every block that draws has an engine of its own, which ends with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringlite_cli.sampling.vllm_engines import Engines

_of_run: "Engines | None" = None


@contextmanager
def engine_of_run() -> Iterator[None]:
    """Have all that draws in this block share one engine, which ends with the block at the latest."""
    global _of_run
    from ringlite_cli.sampling.vllm_engines import Engines

    end_engine()  # of a run around this one
    before = _of_run
    with Engines() as engines:
        _of_run = engines
        try:
            yield
        finally:
            _of_run = before


@contextmanager
def lend_engine(*, keep: bool = False) -> Iterator["Engines"]:
    """Lend the run's engine for the block, or without a run a new one.

    keep: leave the run's in memory behind the block, for the next stage that draws; a block that fails leaves none.
    """
    from ringlite_cli.sampling.vllm_engines import Engines

    with Engines() if _of_run is None else _ending(_of_run, keep) as engines:
        yield engines


def end_engine() -> None:
    """End the run's engine, if there is one, and free its memory."""
    if _of_run is not None:
        _of_run.end()


@contextmanager
def _ending(engines: "Engines", keep: bool) -> Iterator["Engines"]:
    try:
        yield engines
    except BaseException:
        engines.end()
        raise
    if keep:
        engines.rest()
    else:
        engines.end()
