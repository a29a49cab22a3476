"""What carrying responses over would gain: foreseen from the number in flight, their lengths, the model and the GPU.

A decoding step of an engine costs w seconds, whatever is in flight (weights are read, kernels are launched), and the
reading of every response's keys and values. Both modes read the same of the latter for the same responses. `wait`
decodes as many steps as its longest of R responses has tokens, `carry` as many as the mean one, and it reads once more
what its F unfinished responses have written until each rollout ends (with their prompts, c seconds a token):

    gain = (w E[longest of R] / R + k) / (w E[length] / F + k + c (F / R) (E[length^2] / (2 E[length]) + prompt))
    k = kv (E[length^2] / 2 + prompt E[length]) / bandwidth

R: the responses that `wait` draws at a time, whose tokens fill a rollout of `carry` too.

docs/rollouts.md has its check against measurements.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
OVERHEAD = 2.5e-3
"""Seconds of a decoding step of vLLM beside the reading of weights: launches, sampling, log-probabilities."""
AGAIN = 17e-6
"""Seconds until vLLM has read a token of an unfinished response again, beside its FLOPs."""
READ_AT = 0.4
"""Share of a GPU's peak FLOP/s at which vLLM reads prompts. OVERHEAD and AGAIN are fitted to what was measured."""
SIGMA, MEDIAN = 0.9, 1 / 8
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Engine:
    """A model in a vLLM engine on one GPU.

    weights: bytes that a decoding step reads; kv: bytes of a token's keys and values; prompt: tokens of one;
    bandwidth: bytes per second of the GPU's memory; flops: its peak FLOP/s.
    """

    weights: float
    kv: float
    prompt: float
    bandwidth: float
    flops: float

    def waiting(self, lengths: Sequence[float], together: int) -> float:
        """Return the seconds of a response where so many are drawn at a time, each to its end."""
        ordered, count = sorted(lengths), len(lengths)
        shares = [(i / count) ** together for i in range(count + 1)]
        longest = sum(x * (shares[i + 1] - shares[i]) for i, x in enumerate(ordered))
        return self._step() * longest / together + self._reading(lengths)

    def carrying(self, lengths: Sequence[float], in_flight: int, together: int) -> float:
        """Return the seconds of a response with so many in flight; together: of a rollout, by their tokens."""
        per_token = AGAIN + self.weights / (READ_AT * self.flops)  # 2 FLOPs a weight, which has 2 bytes
        again = per_token * (_written(lengths) + self.prompt) * in_flight / together
        return self._step() * fmean(lengths) / in_flight + self._reading(lengths) + again

    def _step(self) -> float:
        return self.weights / self.bandwidth + OVERHEAD

    def _reading(self, lengths: Sequence[float]) -> float:
        """Seconds in which the keys and values of a response are read, at all of its tokens."""
        return self.kv * (_written(lengths) + self.prompt) * fmean(lengths) / self.bandwidth


def _written(lengths: Sequence[float]) -> float:
    """Return the tokens that a response under way has on average."""
    return fmean(x * x for x in lengths) / 2 / fmean(lengths)


def gain(engine: Engine, in_flight: int, lengths: Sequence[float], waits: int | None = None) -> float:
    """Return how many times as fast rollouts are with `carry` as with `wait`.

    lengths: of responses, tokens, in any order. waits: responses that `wait` draws at a time, and whose tokens a
    rollout of `carry` holds; default: as many as are in flight.
    """
    together = waits or in_flight
    return engine.waiting(lengths, together) / engine.carrying(lengths, in_flight, together)


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
    except Exception:  # transformers refuses with many kinds; other checks say why
        return
    if network is None:
        return
    gpu, bandwidth, flops = _gpu()
    lengths = known or assumed_lengths(section.max_completion_length)
    group, engines = section.num_generations, _engines(section, gpus)
    in_flight = max(1, section.in_flight(group) // engines)
    waits = max(1, section.prompts_per_step * section.updates_per_rollout * group // engines)
    engine = Engine(
        weights=2.0 * active_parameters(network),
        kv=_kv_bytes(network.config.get_text_config(), round(fmean(lengths)) + MEAN_PROMPT_TOKENS),
        prompt=MEAN_PROMPT_TOKENS,
        bandwidth=bandwidth,
        flops=flops,
    )
    found = gain(engine, in_flight, lengths, waits)
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


def _gpu() -> tuple[str, float, float]:
    """The GPU here, its bandwidth and its peak FLOP/s; an H100's where there is none that is known."""
    import torch

    from ringlite_cli.train.speed import peak_flops

    here = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    found = next((name for name in BANDWIDTH if name in here), "H100")
    flops = peak_flops(here) or peak_flops("H100")
    assert flops is not None
    return found, BANDWIDTH[found], flops
