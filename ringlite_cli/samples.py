"""What a sampler is asked for and what it gives: the words that every room uses with a sampler passed in.

The engines are in the room `sampling`; `data`, `evals` and `select` know only the protocol below.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ringlite_cli.errors import UserError

BATCH_TOKENS = 65_536
"""Tokens of a batch when responses are drawn, prompts included, where nothing else is given."""
SEED = 17
"""The seed of everything that is drawn at random, where nothing else is given."""


@dataclass(frozen=True, slots=True)
class Request:
    """`num_generations` responses are wanted to one conversation. `problem_id` is unique within a call.

    first: the index of the first response, where another process draws those before.
    """

    problem_id: str
    messages: Sequence[Mapping[str, str]]
    num_generations: int = 1
    first: int = 0

    @property
    def indices(self) -> range:
        """The indices of the responses that are asked for."""
        return range(self.first, self.first + self.num_generations)


@dataclass(frozen=True, slots=True)
class SampledResponse:
    """One response of a policy.

    index:         0 .. num_generations - 1 within its request, from the request's `first` on.
    token_ids:     what the policy emitted, its end token included where it came to one.
    prompt_tokens: tokens of the prompt, chat template included.
    counted:       how many they are by an engine that may show none of them; else None.
    truncated:     the length limit cut it before an end token.
    logprob:       sum of the log-probabilities of `token_ids` at temperature 1, in nats; or None.
    prompt_end:    the last characters of the prompt as the model saw it: they may open a thought; "" if not known.
    entropy:       mean over `token_ids` of the entropy of the full distribution at temperature 1, in nats; or None.
    refused:       why there is no whole response, one of REFUSALS; "" where there is one.
    """

    problem_id: str
    index: int
    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    truncated: bool
    logprob: float | None = None
    entropy: float | None = None
    counted: int | None = None
    prompt_end: str = ""
    refused: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of the response, by their ids or else as the engine counted them."""
        return len(self.token_ids) or self.counted or 0


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How to sample. The paper evaluates at temperature 1.0, top-p 0.95 and 32,768 tokens (§4.1).

    temperature:  0 takes the likeliest token at each step (greedy).
    seed:         with a sample's problem id and index it fixes the sample's random numbers, whatever the batch.
    batch_tokens: bound on rows x (prompt + new tokens) of a batch, which bounds the memory of the cache.
    batch_rows:   bound on the rows of a batch.
    """

    max_completion_length: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    batch_tokens: int = BATCH_TOKENS
    batch_rows: int = 512


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call of `sample` is: responses done of total, tokens made, seconds since its start."""

    done: int
    total: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        return self.seconds * (self.total - self.done) / self.done if self.done else float("inf")

    def __str__(self) -> str:
        left = f", {self.seconds_left:,.0f} s left" if 0 < self.done < self.total else ""
        return f"{self.done:,}/{self.total:,} responses, {self.tokens_per_second:,.0f} tokens/s{left}"


OnDone = Callable[[Request, list[SampledResponse]], None]
OnProgress = Callable[[Progress], None]


class Sampler(Protocol):
    """An engine with one policy loaded."""

    settings: SamplingSettings

    def sample(
        self, requests: Sequence[Request], on_done: OnDone | None = None, progress: OnProgress | None = None
    ) -> list[list[SampledResponse]]:
        """Return the responses to each request, in order; `on_done` is called as soon as a request has all of them."""
        ...

    def prompt_ids(self, request: Request) -> list[int]:
        """The tokens of the prompt as the policy sees them."""
        ...

    def close(self) -> None:
        """Free the policy's memory."""
        ...


class Memory(Protocol):
    """Single samples that outlive the process, for engines whose samples come one by one. Called from any thread."""

    def get(self, problem_id: str, index: int) -> SampledResponse | None: ...

    def keep(self, samples: Iterable[SampledResponse]) -> None: ...


@runtime_checkable
class Keeping(Protocol):
    """A sampler that keeps each sample as it comes, and does not ask again for those that are kept."""

    unverified: Memory | None


TOO_LONG = "prompt too long"
"""The verdict of a problem whose prompt fills the context of the model that is asked."""
FILTERED = "content filter"
"""The verdict of a response that a server withheld, or cut, for what it says."""
REFUSALS = (TOO_LONG, FILTERED)
"""The verdicts that no verifier gave: there is no response."""


def without_room(requests: Sequence[Request], sampler: Sampler, *, answered: bool) -> dict[str, int]:
    """Return the tokens of each prompt that the sampler can't answer, by the request's problem id.

    answered: the model has answered other problems before. Raises UserError where it can answer none at all.
    An endpoint does not tell how many positions it takes: its prompts all pass, and come back refused.
    """
    positions = getattr(sampler, "max_positions", None)
    if positions is None:
        return {}
    lengths = {request.problem_id: len(sampler.prompt_ids(request)) for request in requests}
    long = {name: tokens for name, tokens in lengths.items() if tokens >= positions}
    if requests and not answered and len(long) == len(requests):
        name, tokens = max(long.items(), key=lambda item: item[1])
        raise UserError(
            f"no prompt leaves room for a response: {name} has {tokens:,} tokens, and the policy takes {positions:,}",
            hint="use shorter problems, raise engine.max_model_length, or take a model with a longer context",
        )
    return long


def sample_seed(seed: int, problem_id: str, index: int) -> int:
    """63 bits that depend on nothing but these three, so that a sample is the same in any batch and after a resume."""
    digest = hashlib.blake2b(f"{seed}\x1f{problem_id}\x1f{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
