"""The responses in flight: groups in the order of their launch, with tokens, log-probabilities and policy versions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ringlite_cli.runs.row_types import MetricsRow


@dataclass(slots=True)
class Response:
    """What was written of one response so far.

    tokens: the last one is an end token where one came. log_probs: as the engine drew each token, nats; NaN where it
    gave none. versions: of the policy that wrote each token. ended: by an end token, or at max_completion_length.
    """

    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    ended: bool = False

    def write(self, tokens: Sequence[int], log_probs: Sequence[float], version: int, *, ended: bool) -> None:
        """Append tokens that the policy of this version wrote."""
        self.tokens += tokens
        self.log_probs += log_probs
        self.versions += [version] * len(tokens)
        self.ended = ended


@dataclass(slots=True)
class Group:
    """A prompt that was launched, and its responses.

    number: its place among all launches of all ranks. row: what the trainer knows of the prompt. prompt: its tokens.
    retention: rollouts that it was carried over.
    """

    number: int
    row: MetricsRow
    prompt: list[int]
    responses: list[Response]
    retention: int = 0

    @property
    def complete(self) -> bool:
        return all(response.ended for response in self.responses)

    @property
    def tokens(self) -> int:
        """Return the tokens of all its responses so far."""
        return sum(len(response.tokens) for response in self.responses)


@dataclass(slots=True)
class Counted:
    """What a rollout phase did, for the log. Tokens are those of responses."""

    generated: int = 0
    carried_in: int = 0
    dropped_groups: int = 0
    dropped_tokens: int = 0


@dataclass(slots=True)
class Pool:
    """Groups in flight, and complete ones that wait for a step, in the order of their launch.

    waiting: rows that were drawn and not launched. version: of the policy that writes now, the number of the rollout.
    launched: groups so far. taken: tokens of the groups that steps have taken. begun: of a phase that is at work beside
    a step, what it did before it wrote; None between phases.
    """

    groups: list[Group] = field(default_factory=list)
    waiting: list[MetricsRow] = field(default_factory=list)
    version: int = 0
    launched: int = 0
    taken: int = 0
    begun: Counted | None = None

    def launch(self, row: MetricsRow, prompt: Sequence[int], responses: int, *, rank: int = 0, ranks: int = 1) -> Group:
        """Put a group of empty responses into the pool and return it. rank: of this pool among those of `ranks`."""
        group = Group(self.launched * ranks + rank, row, list(prompt), [Response() for _ in range(responses)])
        self.launched += 1
        self.groups.append(group)
        return group

    def complete(self) -> list[Group]:
        """Return the groups whose responses have all ended, in the order of their launch."""
        return [group for group in self.groups if group.complete]

    def unfinished(self) -> Iterator[tuple[Group, int]]:
        """Yield every response that has not ended, as its group and its place in it, in the order of launch."""
        for group in self.groups:
            for place, response in enumerate(group.responses):
                if not response.ended:
                    yield group, place

    def remove(self, groups: Sequence[Group]) -> None:
        """Take groups out of the pool."""
        gone = {group.number for group in groups}
        self.groups = [group for group in self.groups if group.number not in gone]

    def grow_older(self) -> None:
        """Count a rollout more for every group that is carried over."""
        for group in self.groups:
            group.retention += 1

    def drop_old(self, max_retention: int) -> list[Group]:
        """Take out unfinished groups that were carried over more often than that; their prompts will be asked again."""
        old = [group for group in self.groups if group.retention > max_retention and not group.complete]
        self.remove(old)
        self.waiting = [group.row for group in old] + self.waiting
        return old

    @property
    def tokens(self) -> int:
        """Return the tokens in the pool."""
        return sum(group.tokens for group in self.groups)

    def by_retention(self) -> dict[str, int]:
        """Return how many groups were carried over so often."""
        found = [group.retention for group in self.groups]
        return {str(age): found.count(age) for age in sorted(set(found))}


def ages(response: Response, version: int) -> list[int]:
    """Return how many rollouts ago each token was written, for a step of this version."""
    return [version - each for each in response.versions]


def lengths_by_retention(groups: Sequence[Group]) -> list[tuple[int, int]]:
    """Return how often the group of each response was carried over, and the response's length."""
    return [(group.retention, len(response.tokens)) for group in groups for response in group.responses]


def mean_length_by_retention(responses: Iterable[tuple[int, int]]) -> Mapping[str, float]:
    """Return the mean length of responses, by how often their group was carried over."""
    found: dict[int, list[int]] = {}
    for retention, length in responses:
        found.setdefault(retention, []).append(length)
    return {str(age): sum(lengths) / len(lengths) for age, lengths in sorted(found.items())}
