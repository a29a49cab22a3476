"""What a vLLM engine takes of a GPU: weights, keys and values of responses under way, and its own. No torch."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from ringlite_cli.config_numbers import attention, latent
from ringlite_cli.memory.caches import Cache, cache_of

OWN = int(2.0 * 2**30)
"""Working memory of an engine inside its share: a batch of 4,096 prompt tokens, sampling, the allocator's rounding."""
GRAPHS = int(1.0 * 2**30)
"""CUDA graphs and their pool, which come on top of the share; they stay while the engine sleeps."""

AHEAD = 8192
"""Tokens beside a window's for which vLLM wants room as it starts: those of two steps under way."""


@dataclass(frozen=True, slots=True)
class EngineNeeds:
    """What an engine needs on each of its GPUs, in bytes.

    weights: of the model. kept: of a response, by its length. in_flight: responses under way at a time. length: tokens
    of the longest, with its prompt. bound: tokens that the engine takes; it does not start without room for as many.
    """

    weights: int
    kept: Cache
    in_flight: int
    length: int
    bound: int

    @property
    def cache(self) -> int:
        """Keys and values for all responses under way at their full length."""
        return self.in_flight * self.response

    @property
    def response(self) -> int:
        """Keys and values of one response at its full length."""
        return self.kept.of(self.length)

    @property
    def wanted(self) -> int:
        """The share that never makes a response wait."""
        return self.weights + self.cache + OWN

    @property
    def least(self) -> int:
        """The share that holds one response of the engine's bound: below it no engine starts."""
        return self.weights + self.kept.of(max(self.length, self.bound), AHEAD) + OWN


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
    kept = cache_of(config, width=width, gpus=gpus)
    return EngineNeeds(ceil(width * parameters / gpus), kept, in_flight, length, bound or length)


def heads_fault(config: Any, gpus: int) -> str:
    """Return why a model cannot be shared by so many GPUs (tensor parallel), or ''."""
    heads, keys, _ = attention(config)
    if heads % gpus:
        return f"{heads} attention heads cannot be shared evenly by {gpus} GPUs"
    if keys and keys % gpus and gpus % keys and not latent(config):
        return f"{keys} key-value heads cannot be shared evenly by {gpus} GPUs"
    return ""
