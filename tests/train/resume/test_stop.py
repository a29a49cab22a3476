import os
import signal
import threading
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from ringlite_cli.errors import Interrupted, WorkFailed
from ringlite_cli.train.resume.stop import StopFlag
from ringlite_cli.train.step_rows import StepRows

ARGS = SimpleNamespace(world_size=1)


def end_step(stop: StopFlag, step: int) -> TrainerControl:
    return stop.on_step_end(ARGS, TrainerState(global_step=step), TrainerControl())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM])
def test_the_first_signal_stops_after_the_step(number):
    with StopFlag() as stop:
        assert not end_step(stop, 1).should_training_stop
        os.kill(os.getpid(), number)
        control = end_step(stop, 2)
    assert control.should_training_stop
    assert control.should_save
    with pytest.raises(Interrupted, match="after step 2 of 9"):
        stop.raise_if_stopped(9)
    stop.raise_if_stopped(2)  # it was the last step anyway


def test_the_second_ctrl_c_stops_at_once():
    was = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        _stop_twice()
    finally:
        signal.signal(signal.SIGINT, was)


def _stop_twice():
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested


def test_signals_are_left_alone_outside_the_main_thread():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with StopFlag():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def log(rows: StepRows, logs: dict, main: bool = True) -> None:
    rows.on_log(ARGS, TrainerState(global_step=4, is_world_process_zero=main), TrainerControl(), logs=logs)


def test_a_row_is_written_for_a_logged_step_on_the_main_rank_alone():
    written: list[dict] = []
    rows = StepRows(lambda step, logs, seconds: {"step": step, **logs}, written.append)
    log(rows, {"loss": 0.5})
    log(rows, {"train_runtime": 3.0})
    log(rows, {"loss": 0.6}, main=False)
    assert written == [{"step": 4, "loss": 0.5}]


def test_a_loss_that_is_not_a_number_is_written_and_stops_the_run():
    written: list[dict] = []
    rows = StepRows(lambda step, logs, seconds: {"step": step, **logs}, written.append)
    with pytest.raises(WorkFailed, match="the loss is nan at step 4"):
        log(rows, {"loss": float("nan")})
    assert len(written) == 1
