"""What carrying responses over would gain: foreseen from the number in flight, their lengths, the model and the GPU.

A decoding step of an engine costs w seconds, whatever is in flight (weights are read, kernels are launched), and the
reading of every response's keys and values. Both modes read the same of the latter for the same responses. `wait`
decodes as many steps as its longest of R responses has tokens, `carry` as many as the mean one:

    gain = (w E[longest of R] + K) / (w E[length] + K),   K = R kv (E[length^2] / 2 + prompt E[length]) / bandwidth

Where `wait` draws another number of responses at a time than `carry` has in flight, each side is taken per response.

docs/rollouts.md has its check against measurements.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import exp, log
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Any

from ringlite_cli.memory.caches import cache_of
from ringlite_cli.models.sizes import active_parameters, network_without_weights
from ringlite_cli.recipe.batch_plan import MEAN_PROMPT_TOKENS
from ringlite_cli.recipe.schema import Recipe, RlStage
from ringlite_cli.runs.rollouts import read_rollouts

BANDWIDTH = {"H200": 4.8e12, "H100": 3.35e12, "A100": 2.0e12, "L40": 0.86e12}
"""Bytes per second that a GPU's memory gives."""
OVERHEAD = 1.4e-3
"""Seconds of a decoding step of vLLM on an H100 beside the reading of weights: launches, sampling."""
SIGMA, MEDIAN = 0.9, 1 / 8
_ROWS = 20_000


def gain(
    in_flight: int,
    lengths: Sequence[float],
    *,
    weights: float,
    kv: float,
    prompt: float,
    bandwidth: float,
    waits: int | None = None,
) -> float:
    """Return how many times as fast rollouts are with `carry` as with `wait`.

    lengths: of responses, tokens, in any order. weights: bytes that a decoding step reads; kv: bytes of a token's keys
    and values. prompt: tokens. bandwidth: bytes per second. waits: responses that `wait` draws at a time; default: as
    many as are in flight.
    """
    ordered = sorted(lengths)
    count, mean, together = len(ordered), fmean(ordered), waits or in_flight
    shares = [(i / count) ** together for i in range(count + 1)]
    longest = sum(x * (shares[i + 1] - shares[i]) for i, x in enumerate(ordered))
    step = weights / bandwidth + OVERHEAD
    reading = kv * (fmean(x * x for x in ordered) / 2 + prompt * mean) / bandwidth
    return (step * longest / together + reading) / (step * mean / in_flight + reading)


def assumed_lengths(longest: int, count: int = 2000) -> list[float]:
    """Return quantiles of lognormal lengths: median longest / 8, sigma 0.9, cut at `longest`."""
    drawn = (NormalDist(log(longest * MEDIAN), SIGMA).inv_cdf((i + 0.5) / count) for i in range(count))
    return [min(float(longest), exp(each)) for each in drawn]


def carry_lines(recipe: Recipe, name: str, runs: Path, gpus: Sequence[int] = (1,)) -> Iterator[str]:
    """Yield what `plan` says of an rl stage's rollouts: the gain of mode carry, and whether the longest can end.

    gpus: how many train, each case for itself.
    """
    section = recipe.stages[name]
    if not isinstance(section, RlStage):
        return
    known = _lengths(runs / recipe.name / name)
    for count in gpus:
        carry = f"on {count} GPUs, carry" if count > 1 else "carry"
        if section.carries and (fault := section.in_flight_fault(section.num_generations, count)):
            yield f"{carry}: {fault}"
            continue
        yield from _gain_line(recipe, section, count, known, carry)
        if section.carries and section.selects:
            yield from _retention_line(section, count, carry)


def _retention_line(section: RlStage, gpus: int, carry: str) -> Iterator[str]:
    group, longest = section.num_generations, section.max_completion_length
    needed = section.steps_to_end(group, longest, gpus)
    allowed = section.max_retention(group, longest, gpus)
    if needed > allowed:
        yield (
            f"{carry}: with {section.in_flight(group)} in flight a response of {longest:,} tokens is carried over "
            f"about {needed} times, and max_retention is {allowed}: such groups are dropped; raise it, or lower "
            "in_flight"
        )


def _gain_line(recipe: Recipe, section: RlStage, gpus: int, known: list[float], carry: str) -> Iterator[str]:
    try:
        network = network_without_weights(recipe.model)
    except (OSError, ValueError, TypeError, AttributeError):
        return
    if network is None:
        return
    gpu, bandwidth = _gpu()
    lengths = known or assumed_lengths(section.max_completion_length)
    group, engines = section.num_generations, _engines(section, gpus)
    in_flight = max(1, section.in_flight(group) // engines)
    waits = max(1, section.prompts_per_step * section.updates_per_rollout * group // engines)
    found = gain(
        in_flight,
        lengths,
        weights=2.0 * active_parameters(network),
        kv=_kv_bytes(network.config.get_text_config(), round(fmean(lengths)) + MEAN_PROMPT_TOKENS),
        prompt=MEAN_PROMPT_TOKENS,
        bandwidth=bandwidth,
        waits=waits,
    )
    source = "lengths as in its last run" if known else "lognormal lengths assumed"
    by_vllm = bool(section.trl.get("use_vllm"))
    verb = "are" if section.carries and by_vllm else "would be"
    other = f", {waits} waited for" if waits != in_flight else ""
    own = not by_vllm and section.carries and section.rollout_func is None
    yield (
        f"{carry}: rollouts {verb} about {found:.1f} times as fast as in mode wait ({in_flight} in flight{other}, "
        f"{source}, mean {fmean(lengths):,.0f} tokens, vLLM on one {gpu})"
    ) + own * "; the trainer's own model, which draws here, is slower with it than in mode wait"


def _engines(section: RlStage, gpus: int) -> int:
    """Return how many engines share a step's responses out where so many GPUs train."""
    if section.trl.get("vllm_mode") == "server":
        return 1
    return max(1, gpus // int(section.trl.get("vllm_tensor_parallel_size") or 1))


def _lengths(stage: Path) -> list[float]:
    """Response lengths of the stage's last run; [] without one."""
    return [float(row["tokens"]) for row in islice(read_rollouts(stage), _ROWS) if row.get("tokens")]


def _kv_bytes(config: Any, length: int) -> float:
    """Bytes of a token's keys and values in 16 bits, on average over a response of so many tokens with its prompt."""
    return cache_of(config).of(length) / length


def _gpu() -> tuple[str, float]:
    """The GPU here and its bandwidth; an H100 where there is none that is known."""
    import torch

    here = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    found = next((name for name in BANDWIDTH if name in here), "H100")
    return found, BANDWIDTH[found]
