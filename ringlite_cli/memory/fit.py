"""Whether training and an engine beside it fit a GPU: what each phase takes, and the engine's share. No torch."""

from dataclasses import dataclass
from math import ceil

from ringlite_cli.memory.drawing import Drawn
from ringlite_cli.memory.engine import GRAPHS, OWN, EngineNeeds
from ringlite_cli.memory.held import CONTEXT, OF_UPDATES, Shape, Training, held_parts, resident, update_parts

GIB = 2**30
SPARE = 0.03
"""Share of a GPU that an engine whose share is chosen leaves alone: blocks of memory that are not quite filled."""
_WORDS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "reference": "reference",
    "gathered": "layers gathered whole",
    "whole": "weights that stay whole",
    "scorer": "reward model",
    "activations": "activations",
    "head": "head",
}


@dataclass(frozen=True, slots=True)
class Beside:
    """An engine on the trainer's own GPUs.

    needs: of each GPU. sleeps: its memory is given back in updates. share: of the GPU's memory; None where none is set.
    """

    needs: EngineNeeds
    sleeps: bool = False
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What training, and an engine beside it, take of a GPU.

    held, update: bytes by part (see held.py); update's are of the longest row. memory: bytes that are free for all of
    it. total: of the GPU, of which an engine's share is counted. drawn: where there is no engine to draw.
    """

    held: dict[str, int]
    update: dict[str, int]
    memory: int
    total: int
    beside: Beside | None = None
    drawn: Drawn | None = None

    @property
    def share(self) -> float:
        """The engine's share of the GPU's memory: as set, or what it needs of what training leaves, in whole percent.

        An engine that does not sleep gets half of what is left at most, unless it needs more to start: longer rows
        make updates faster.
        """
        if self.beside is None:
            return 0.0
        if self.beside.share is not None:
            return self.beside.share
        room = self._room if self.beside.sleeps else max(self._room // 2, min(self._room, self.beside.needs.least))
        short = room < self.beside.needs.wanted
        return max(0, ceil(100 * min(self.beside.needs.wanted, room) / self.total - short)) / 100

    @property
    def in_rollout(self) -> int:
        """Bytes taken while responses are drawn."""
        drawn = self.drawn.size + self.drawn.work if self.drawn else 0
        return CONTEXT + resident(self.held) + self._engine + self._graphs + drawn

    @property
    def in_update(self) -> int:
        """Bytes taken while the longest row is trained."""
        awake = 0 if self.beside is None or self.beside.sleeps else self._engine
        return CONTEXT + sum(self.held.values()) + sum(self.update.values()) + awake + self._graphs

    @property
    def responses(self) -> int:
        """Responses of full length whose keys and values the engine's share holds; at most those under way."""
        if self.beside is None:
            return 0
        needs = self.beside.needs
        left = self._engine - needs.weights - OWN
        return max(0, min(needs.in_flight, left // max(1, needs.response)))

    def faults(self) -> list[str]:
        """Return what does not fit, each with its numbers; without an engine an update takes the most."""
        found = []
        if self.beside is not None and self._engine < self.beside.needs.least:
            needs = self.beside.needs
            one = needs.least - needs.weights - OWN
            what = f"{_gib(self._room)} are left" if self.beside.share is None else f"its share is {_gib(self._engine)}"
            found.append(
                f"the engine needs {_gib(needs.least)} ({_gib(needs.weights)} of weights, {_gib(one)} of keys and "
                f"values for {max(needs.length, needs.bound):,} tokens, and its own work), and {what} beside "
                f"{self.in_words(resident_only=True)}"
            )
        elif self.beside is not None and self.in_rollout > self.memory:
            found.append(
                f"drawing responses takes {_gib(self.in_rollout)} (engine {_gib(self._engine)}, "
                f"{self.in_words(resident_only=True)}), and a GPU has {_gib(self.memory)}"
            )
        if self.in_update > self.memory:
            awake = "" if self.beside is None or self.beside.sleeps else f", the engine's {_gib(self._engine)}"
            found.append(
                f"an update takes {_gib(self.in_update)} ({self.in_words()}{awake}), and a GPU has {_gib(self.memory)}"
            )
        return found

    def risks(self) -> list[str]:
        """Return what does not fit where responses reach their full length, which they may not do."""
        if self.drawn is None or self.in_rollout <= self.memory:
            return []
        return [
            f"drawing responses takes up to {_gib(self.in_rollout)} (keys and values of {self.drawn.responses:,} "
            f"responses of {self.drawn.length:,} tokens in one batch {_gib(self.drawn.size)}, a step's work "
            f"{_gib(self.drawn.work)}, {self.in_words(resident_only=True)}), and there are {_gib(self.memory)}"
        ]

    def in_words(self, *, resident_only: bool = False) -> str:
        """Return the parts that are not empty, as `weights 31.3 GiB, gradients ...`."""
        parts = self.held | self.update
        names = [name for name in self.held if name not in OF_UPDATES] if resident_only else list(parts)
        return ", ".join(f"{_WORDS[name]} {_gib(parts[name])}" for name in names if parts[name])

    @property
    def _graphs(self) -> int:
        return 0 if self.beside is None else GRAPHS

    @property
    def _engine(self) -> int:
        return int(self.share * self.total)

    @property
    def _room(self) -> int:
        """Return what training leaves to an engine: all that is not resident where it sleeps in updates."""
        assert self.beside is not None
        taken = resident(self.held) if self.beside.sleeps else sum(self.held.values()) + sum(self.update.values())
        return max(0, self.memory - int(SPARE * self.total) - CONTEXT - GRAPHS - taken)


def fit(shape: Shape, how: Training, memory: int, beside: Beside | None = None, *, total: int | None = None) -> Fit:
    """Return what training takes of `memory` free bytes of a GPU of `total`, with an engine beside it."""
    return Fit(held_parts(shape, how), update_parts(shape, how), memory, total or memory, beside)


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"
