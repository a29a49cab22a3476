"""Lets an engine write a pool on: while the trainer waits, or in a thread beside it."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ringlite_cli.errors import RingliteError
from ringlite_cli.train.engine.stream import Stream
from ringlite_cli.train.rl.carry.phase import Phase
from ringlite_cli.train.rl.carry.transformers_stream import TransformersStream

Enough = Callable[[], bool]
MakePhase = Callable[[], Phase]


class Writer:
    """The engine of a C3POTrainer at work on rollout phases, one at a time."""

    def __init__(self, trainer: Any, streams: Callable[[Any], Stream] | None, make_phase: MakePhase) -> None:
        """streams: makes an engine of the trainer for each phase; by default vLLM, or the trainer's own model."""
        self._trainer, self._streams, self._make_phase = trainer, streams, make_phase
        self._thread: threading.Thread | None = None
        self._phase: Phase | None = None
        self._error: Exception | None = None
        self._seconds = 0.0

    def sync(self) -> None:
        """Give the engine the weights of this step, if it has not got them."""
        trainer, generation = self._trainer, self._generation()
        if generation is not None and trainer.state.global_step != trainer._last_loaded_step:
            generation.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step

    def write(self, tokens: int, enough: Enough) -> int:
        """Write at least so many tokens, and until `enough` holds; return how many.

        A vLLM that fails is started again.
        """
        phase, started = self._make_phase(), time.perf_counter()
        while True:
            try:
                self._run(phase, tokens, enough)
                break
            except RingliteError:
                raise
            except Exception as error:
                self._start_again(error)
        self._count(time.perf_counter() - started)
        return phase.generated

    def start(self, tokens: int, enough: Enough) -> None:
        """Begin to write in a thread of its own, with the weights that the engine has."""
        phase = self._phase = self._make_phase()
        if (generation := self._generation()) is not None:  # the trainer's model must not be asked beside its training
            generation.check_sync(phase.prompts())

        def run() -> None:
            started = time.perf_counter()
            try:
                self._run(phase, tokens, enough)
            except Exception as error:  # told to the thread that joins
                self._error = error
            self._seconds = time.perf_counter() - started

        self._error = None
        self._thread = threading.Thread(target=run, name="rollout-ahead", daemon=True)
        self._thread.start()

    def join(self) -> int | None:
        """Wait for what was begun; return how many tokens were written, None where nothing was begun.

        Where vLLM failed meanwhile it is started again, and what was not written is left to `write`.
        """
        if self._thread is None or self._phase is None:
            return None
        self._thread.join()
        self._thread, error = None, self._error
        self._count(self._seconds)
        if isinstance(error, RingliteError):
            raise error
        if error is not None:
            self._start_again(error)
        return self._phase.generated

    def end(self) -> None:
        """Stop what was begun; its unfinished responses are forgotten."""
        if self._thread is not None and self._phase is not None:
            self._phase.cancelled = True
            self._thread.join()
            self._thread = None

    def _generation(self) -> Any:
        """Return TRL's vLLM generation, if it is what draws."""
        return self._trainer.vllm_generation if self._trainer.use_vllm and self._streams is None else None

    def _run(self, phase: Phase, tokens: int, enough: Enough) -> None:
        with self._stream(phase) as stream:
            phase.run(stream, tokens, enough)

    def _stream(self, phase: Phase) -> AbstractContextManager[Stream]:
        generation = self._generation()
        if generation is None:
            return nullcontext((self._streams or TransformersStream)(self._trainer))
        made: AbstractContextManager[Stream] = generation.drawing(phase.prompts())
        return made

    def _start_again(self, error: Exception) -> None:
        generation = self._generation()
        if generation is None:
            raise error
        generation.start_again(error)

    def _count(self, seconds: float) -> None:
        if (generation := self._generation()) is not None:
            generation.count_seconds(seconds)
