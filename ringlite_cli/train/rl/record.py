"""What the trainer generates and scores, recorded where it is made: nothing is read back from a log."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ringlite_cli.runs.catalogue.own import means


@dataclass(slots=True)
class Measured:
    """What reward functions measured in one batch.

    seconds: domain -> seconds until its last verdict. overlap: share of the verdicts that were there when generation
    ended; None where none was started ahead. numbers: means of what rewards of the user's own measure.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    overlap: float | None = None
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One batch of all ranks, in rank order: lists with one item per response.

    rewards: per reward function, NaN where it gave none. policy_step: optimizer steps of the policy that wrote it.
    """

    prompts: list[Any]
    responses: list[Any]
    rewards: list[list[float]]
    advantages: list[float]
    verdicts: list[str]
    policy_step: int


class Recorder:
    """Takes down one batch at a time: `start`, then `scored` and `column` while it is scored, then `finish`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.start(0)

    def start(self, policy_step: int) -> None:
        """Begin a batch that the policy of this optimizer step writes."""
        self._policy_step = policy_step
        self._prompts: list[Any] = []
        self._responses: list[Any] = []
        self._rewards: Tensor | None = None
        self._columns: dict[str, list[Any]] = {}

    def column(self, name: str, values: Sequence[Any]) -> None:
        """Note a value per response of this rank that a reward function tells; a later one of the name replaces it."""
        self._columns[name] = list(values)

    def scored(self, prompts: Sequence[Any], responses: Sequence[Any], rewards: Tensor) -> None:
        """Note this rank's prompts and responses, and the rewards (responses of all ranks, reward functions)."""
        self._prompts, self._responses, self._rewards = list(prompts), list(responses), rewards

    def finish(self, advantages: Tensor) -> Recorded:
        """Return the batch of all ranks. advantages: (responses of this rank,). Every rank has to call it."""
        assert self._rewards is not None
        missing = [""] * len(self._prompts)
        return Recorded(
            prompts=gather_object(self._prompts),
            responses=gather_object(self._responses),
            rewards=self._rewards.tolist(),
            advantages=self._accelerator.gather(advantages).tolist(),
            verdicts=gather_object(self._columns.get("verdict", missing)),
            policy_step=self._policy_step,
        )


class Measures:
    """Adds up what the reward functions measured in the batches of a rollout, over all ranks."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._overlaps: list[float] = []
        self._numbers: list[dict[str, float]] = []  # of a rank and a batch each

    @property
    def overlap(self) -> float:
        """The mean of this rank's shares of verdicts that were there when generation ended; 0 without any."""
        return sum(self._overlaps) / len(self._overlaps) if self._overlaps else 0.0

    @property
    def numbers(self) -> dict[str, float]:
        """The means over ranks and batches of what rewards of the user's own measure."""
        return means(self._numbers)

    def add(self, functions: Sequence[Any]) -> None:
        """Add what these reward functions keep as `measured` of their last call. Every rank has to call it.

        A domain's seconds are those of the slowest rank.
        """
        own = [function.measured for function in functions if isinstance(getattr(function, "measured", None), Measured)]
        self._overlaps.append(next((each.overlap for each in own if each.overlap is not None), 0.0))
        slowest: defaultdict[str, float] = defaultdict(float)
        for rank in gather_object([own]):
            for each in rank:
                self._numbers.append(each.numbers)
                for domain, seconds in each.seconds.items():
                    slowest[domain] = max(slowest[domain], seconds)
        for domain, seconds in slowest.items():
            self.seconds[domain] += seconds
