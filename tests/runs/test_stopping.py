"""A block that a signal must not cut in two."""

import os
import signal
from collections.abc import Iterator

import pytest

from ringlite_cli.runs.stopping import stop_after


@pytest.fixture(autouse=True)
def interrupting() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_the_block_ends_and_then_the_stop_is_raised() -> None:
    ended = []

    def work() -> None:
        with stop_after():
            os.kill(os.getpid(), signal.SIGUSR1)
            ended.append(True)
        ended.append(False)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert ended == [True]
    assert signal.getsignal(signal.SIGUSR1) is signal.default_int_handler


def test_a_second_signal_does_not_wait() -> None:
    ended = []

    def work() -> None:
        with stop_after():
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert ended == []
