"""What the trainer generates and scores, recorded where it is made: nothing is read back from a log."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch import distributed as dist
from trl.trainer import grpo_trainer


@dataclass(slots=True)
class Measured:
    """What reward functions measured in one batch.

    seconds: domain -> seconds until its last verdict. overlap: share of the verdicts that were there when generation
    ended; None where none was started ahead. numbers: means of what rewards of the user's own measure. responses: that
    were scored. counts: number -> the values that it is the mean of, 1 where it is not said.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    overlap: float | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    responses: int = 1
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One batch of all ranks, in rank order: lists with one item per response.

    prompts, responses, details, parts: what the main rank alone writes; elsewhere empty. rewards: per reward function,
    NaN where it gave none. parts: of a reward that was composed, by name. policy_step: optimizer steps of the policy
    that wrote it.
    """

    prompts: list[Any]
    responses: list[Any]
    rewards: list[list[float]]
    advantages: list[float]
    verdicts: list[str]
    details: list[str]
    parts: list[dict[str, float | None]]
    policy_step: int


class Recorder:
    """Takes down one batch at a time: `start`, then `scored` and `column` while it is scored, then `finish`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.start(0)

    def start(self, policy_step: int) -> None:
        """Begin a batch that the policy of this optimizer step writes."""
        self._policy_step = policy_step
        self._prompts: Sequence[Any] = []
        self._responses: Sequence[Any] = []
        self._rewards: Tensor | None = None
        self._columns: dict[str, list[Any]] = {}

    def column(self, name: str, values: Sequence[Any]) -> None:
        """Note a value per response of this rank that a reward function tells; a later one of the name replaces it."""
        self._columns[name] = list(values)

    def scored(self, prompts: Sequence[Any], responses: Sequence[Any], rewards: Tensor) -> None:
        """Note this rank's prompts and responses, and the rewards (responses of all ranks, reward functions)."""
        self._prompts, self._responses, self._rewards = prompts, responses, rewards

    def finish(self, advantages: Tensor) -> Recorded:
        """Return the batch of all ranks. advantages: (responses of this rank,). Every rank has to call it."""
        assert self._rewards is not None
        return Recorded(
            prompts=gathered_on_main(self._accelerator, self._prompts),
            responses=gathered_on_main(self._accelerator, self._responses),
            rewards=self._rewards.tolist(),
            advantages=self._accelerator.gather(advantages).tolist(),
            verdicts=gather_object(self._told("verdict")),
            details=gathered_on_main(self._accelerator, self._told("detail")),
            parts=[parts or {} for parts in gathered_on_main(self._accelerator, self._told("reward_parts"))],
            policy_step=self._policy_step,
        )

    @contextmanager
    def texts_on_main(self, *, wanted: bool) -> Iterator[None]:
        """Keep TRL, in this block, from gathering prompts and responses on every rank for its table of completions.

        The main rank alone prints and saves that table. wanted: whether there is one (`log_completions`).
        """
        module: Any = grpo_trainer
        plain = module.gather_object

        def gather(items: Any) -> Any:
            if items is not self._prompts and items is not self._responses:
                return plain(items)
            return gathered_on_main(self._accelerator, items) if wanted else []

        module.gather_object = gather
        try:
            yield
        finally:
            module.gather_object = plain

    def _told(self, column: str) -> list[Any]:
        """Return what was told of each response; texts of no letters where nothing was."""
        return list(self._columns.get(column, [""] * len(self._prompts)))


def gathered_on_main(accelerator: Accelerator, items: Sequence[Any]) -> list[Any]:
    """Return the items of all ranks in rank order on the main rank, [] on the others. Every rank has to call it."""
    if accelerator.num_processes == 1:
        return list(items)
    found: list[Any] | None = [None] * accelerator.num_processes if accelerator.is_main_process else None
    dist.gather_object(list(items), found)
    return [item for of_rank in found or [] for item in of_rank]


@dataclass(slots=True)
class _Mean:
    """The mean of means, each by the number of values behind it; 0 without any."""

    total: float = 0.0
    count: int = 0

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else 0.0

    def add(self, mean: float, count: int) -> None:
        self.total, self.count = self.total + mean * count, self.count + count


class Measures:
    """Adds up what the reward functions measured in the batches of a rollout, over all ranks."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._ready = _Mean()
        self._numbers: defaultdict[str, _Mean] = defaultdict(_Mean)
        self._penalty = _Mean()

    @property
    def overlap(self) -> float:
        """Return the share of all verdicts that were there when generation ended; 0 without any."""
        return self._ready.value

    @property
    def numbers(self) -> dict[str, float]:
        """Return the means over all responses of what rewards of the user's own measure."""
        return {key: mean.value for key, mean in self._numbers.items()}

    def penalty(self, mean: float, responses: int) -> None:
        """Add the mean penalty of a batch of so many responses, over all ranks."""
        self._penalty.add(mean, responses)

    @property
    def mean_penalty(self) -> float:
        """Return the mean over all responses of what they lost of their rewards by their length; 0 without any."""
        return self._penalty.value

    def add(self, functions: Sequence[Any]) -> None:
        """Add what these reward functions keep as `measured` of their last call. Every rank has to call it.

        A domain's seconds are those of the slowest rank.
        """
        own = [function.measured for function in functions if isinstance(getattr(function, "measured", None), Measured)]
        slowest: defaultdict[str, float] = defaultdict(float)
        for rank in gather_object([own]):
            known = next((each for each in rank if each.overlap is not None), None)
            self._ready.add((known.overlap or 0.0) if known else 0.0, max((each.responses for each in rank), default=0))
            for each in rank:
                for key, value in each.numbers.items():
                    self._numbers[key].add(value, each.counts.get(key, 1))
                for domain, seconds in each.seconds.items():
                    slowest[domain] = max(slowest[domain], seconds)
        for domain, seconds in slowest.items():
            self.seconds[domain] += seconds
