"""The session of one command: its screen, with what libraries print led into a log until the process ends."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from ringlite_cli.beside import beside
from ringlite_cli.terminal import screen as state
from ringlite_cli.terminal.capture import Capture
from ringlite_cli.terminal.run_log import RunLog
from ringlite_cli.terminal.screen import LastWords, Mode, Screen

_POLL = 0.2  # seconds between two looks at what others have printed, where that is shown
_last_words: LastWords | None = None
_last_log: str = ""  # of the last session that was not verbose; /dev/null for a log without a name


class _Heard(logging.Handler):
    """Shows warnings that ringlite's own modules log."""

    def emit(self, record: logging.LogRecord) -> None:
        state.warn(record.getMessage())


def take_last_words() -> LastWords | None:
    """Return the end of the log of the session that failed last, once."""
    global _last_words
    taken, _last_words = _last_words, None
    return taken


def hush() -> None:
    """Lead what libraries print while the process ends into the log of its last session; all is said by now."""
    if not _last_log:
        return
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        descriptor = os.open(_last_log, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)


@contextmanager
def session(mode: Mode) -> Iterator[Screen]:
    """The screen of one command, with all that others print led into a log."""
    global _last_words, _last_log
    capture = _captured()
    screen = Screen(mode, capture)
    before = state.swap(screen)
    logger, heard = logging.getLogger("ringlite_cli"), _Heard(logging.WARNING)
    logger.addHandler(heard)
    try:
        with beside(partial(_keep, screen), "log-keeper"):
            yield screen
    except Exception:
        _last_words = screen.words()
        raise
    finally:
        logger.removeHandler(heard)
        if capture:
            capture.lead_back()
            screen.show_news()
            capture.end()
            _last_log = "" if mode.verbose else str(capture.log.path or os.devnull)
        state.swap(before)
        screen.end()


def _captured() -> Capture | None:
    """A capture into a log without a name; None where there is no place for one, and on Windows."""
    if not hasattr(os, "pread"):
        return None
    try:
        return Capture(RunLog(None))
    except OSError:
        return None


def _keep(screen: Screen, over: threading.Event) -> None:
    while not over.wait(_POLL if screen.mode.verbose else 10 * _POLL):
        screen.show_news()
