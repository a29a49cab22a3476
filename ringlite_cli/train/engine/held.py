"""What a stage is lent by its run: the engine that an earlier stage has left in this process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class RunEngine(Protocol):
    """A run's vLLM engine: at most one at a time, which stays from stage to stage where they agree in its settings.

    gpu_bytes: what it takes of the GPU's memory between stages, 0 where there is none.
    """

    gpu_bytes: int

    def take(self, policy: Path, start_one: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
        """Return a vLLM `LLM` for a trainer of this policy: the run's, or where that does not fit one from `start_one`.

        settings: the arguments of LLM that `start_one` starts with. Raises what `start_one` raises.
        """
        ...

    def rest(self) -> None:
        """Leave the engine to the next stage; with sleep mode it gives its memory back until then."""
        ...

    def end(self) -> None:
        """End the engine and free its memory."""
        ...
