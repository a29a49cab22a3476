"""What a vLLM engine takes of a GPU: weights, keys and values of responses under way, and its own. No torch."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from ringlite_cli.memory.config_numbers import attention, number

OWN = int(2.0 * 2**30)
"""Working memory of an engine inside its share: a batch of 4,096 prompt tokens, sampling, the allocator's rounding."""
GRAPHS = int(1.0 * 2**30)
"""CUDA graphs and their pool, which come on top of the share; they stay while the engine sleeps."""


@dataclass(frozen=True, slots=True)
class EngineNeeds:
    """What an engine needs on each of its GPUs, in bytes.

    weights: of the model. token: keys and values of one token. in_flight: responses under way at a time. length: tokens
    of the longest, with its prompt. bound: tokens that the engine takes; it does not start without room for as many.
    """

    weights: int
    token: int
    in_flight: int
    length: int
    bound: int

    @property
    def cache(self) -> int:
        """Keys and values for all responses under way at their full length."""
        return self.token * self.in_flight * self.length

    @property
    def wanted(self) -> int:
        """The share that never makes a response wait."""
        return self.weights + self.cache + OWN

    @property
    def least(self) -> int:
        """The share that holds one response of the engine's bound: below it no engine starts."""
        return self.weights + self.token * max(self.length, self.bound) + OWN


def engine_needs(
    config: Any,
    parameters: int,
    *,
    in_flight: int,
    length: int,
    bound: int | None = None,
    width: int = 2,
    gpus: int = 1,
) -> EngineNeeds:
    """Return what an engine needs of each of the `gpus` that share it (tensor parallel).

    config: a transformers text config. parameters: of the model. in_flight: responses of all ranks that share the
    engine. bound: tokens that it takes; default: `length`. width: bytes of a weight, and of a number in the cache.
    """
    _, keys, head = attention(config)
    token = 2 * width * number(config, "num_hidden_layers") * head * ceil(keys / gpus)
    return EngineNeeds(ceil(width * parameters / gpus), token, in_flight, length, bound or length)


def heads_fault(config: Any, gpus: int) -> str:
    """Return why a model cannot be shared by so many GPUs (tensor parallel), or ''."""
    heads, keys, _ = attention(config)
    if heads % gpus:
        return f"{heads} attention heads cannot be shared evenly by {gpus} GPUs"
    if keys and keys % gpus and gpus % keys:
        return f"{keys} key-value heads cannot be shared evenly by {gpus} GPUs"
    return ""
