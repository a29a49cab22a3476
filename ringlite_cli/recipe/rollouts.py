"""The keys of a rollout phase: when it ends, what becomes of responses that are not, and of those that are too long."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import model_validator

from ringlite_cli.recipe.key_classes import objective
from ringlite_cli.recipe.section import Positive, Section

Mode = Literal["wait", "carry"]


class Rollouts(Section):
    """How responses are drawn for a step: all are waited for, or unfinished ones are carried into the next step."""

    mode: Mode = objective(
        "wait",
        description="wait: a step draws its responses to their ends; carry: it ends with its budget, and unfinished "
        "responses go on in the next step (C3PO++)",
    )
    in_flight: Positive | None = objective(
        None,
        description="carry: responses under way at a time, of all processes; default: prompts_per_step x "
        "num_generations",
    )
    max_retention: Positive | None = objective(
        None,
        description="carry: rollouts that a group may be carried over; past them it is dropped and asked again; "
        "default: 4, or one more than the longest response needs",
    )
    ahead: Literal[0, 1] = objective(
        0, description="1: the next rollout is drawn while a step trains; needs an engine on GPUs of its own"
    )
    order: Literal["drawn", "longest"] = objective(
        "drawn", description="longest: prompts whose responses were longest so far are asked first"
    )


def piece_of(max_completion_length: int) -> int:
    """Return the tokens that the trainer's own model writes at a time in mode carry: an eighth of a response."""
    return max(1, -(-max_completion_length // 8))


_OF_VLLM = {
    *("stop", "stop_token_ids", "min_tokens", "presence_penalty", "frequency_penalty", "structured_outputs"),
    *("bad_words", "thinking_token_budget", "repetition_detection"),
}
_OF_TRANSFORMERS = {
    *("min_new_tokens", "min_length", "stop_strings", "exponential_decay_length_penalty", "begin_suppress_tokens"),
    *("forced_bos_token_id", "forced_eos_token_id", "max_time"),
}
_SEE_OUTPUT = _OF_VLLM | _OF_TRANSFORMERS
"""Settings of a request that look at what a response has so far, which is a prompt once it is carried over."""


def engine_faults(rollouts: Rollouts, trl: Mapping[str, Any], *, own_engine: bool, world_size: int = 1) -> list[str]:
    """Return what of TRL's fields the rollouts cannot work with, each as `key: what; what next`.

    own_engine: whether a `rollout_func` of the user's own draws. world_size: processes that train.
    """
    found = list(_kwargs_faults(trl.get("generation_kwargs") or {}))
    server = trl.get("use_vllm") and trl.get("vllm_mode") == "server"
    if rollouts.ahead and not server and not own_engine:
        why = (
            "an engine beside the trainer on its GPU waits while it trains"
            if trl.get("use_vllm")
            else ("the trainer's own model cannot draw while it trains")
        )
        found.append(f"rollouts.ahead: {why}; set trl.vllm_mode: server, which has GPUs of its own, or leave it out")
    if rollouts.mode != "carry":
        return found
    if world_size > 1 and trl.get("use_vllm") and not own_engine:
        found += _shared_engine_faults(trl, world_size)
    kwargs = trl.get("generation_kwargs") or {}
    seen = sorted(name for name in _SEE_OUTPUT & kwargs.keys() if kwargs[name])
    if trl.get("vllm_structured_outputs_regex"):
        seen.append("vllm_structured_outputs_regex")
    if seen:
        found.append(
            f"trl.generation_kwargs: {', '.join(seen)} look at a response from its beginning, and one that is carried "
            "over goes on as a prompt; leave them out, or set rollouts: {mode: wait}"
        )
    if trl.get("use_transformers_continuous_batching"):
        found.append("trl.use_transformers_continuous_batching: it cannot be stopped; leave it out in mode carry")
    return found


SHARED_OUT = (
    "a model that is shared out writes in step on all ranks, and each rank carries its own responses",
    "set trl.use_vllm: true, an engine beside each rank, or rollouts: {mode: wait}",
)
"""Why the trainer's own model cannot carry where FSDP2 shares it out, and what to do."""


def order_faults(rollouts: Rollouts, trl: Mapping[str, Any], *, own_engine: bool) -> Iterator[str]:
    """Yield why nothing comes of an order of prompts: in mode wait only vLLM begins with some before others.

    own_engine: whether a `rollout_func` of the user's own draws.
    """
    if rollouts.order == "drawn" or rollouts.mode == "carry" or rollouts.ahead:
        return
    if own_engine:
        yield (
            "rollouts.order: a rollout_func gets the prompts of a step together, as they were drawn; leave it out, or "
            "set rollouts: {mode: carry}"
        )
    elif not trl.get("use_vllm"):
        yield (
            "rollouts.order: the trainer's own model begins all responses of a step at once; leave it out, or set "
            "trl.use_vllm: true"
        )


_FIELDS = {
    "max_tokens": "max_completion_length",
    "max_new_tokens": "max_completion_length",
    "n": "num_generations",
    "num_return_sequences": "num_generations",
} | {name: name for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
"""A setting of a request -> TRL's field for it. Set apart from its field, what is drawn is not what is trained on."""
_READ = ("logprobs", "prompt_logprobs", "flat_logprobs", "output_kind", "detokenize", "return_dict_in_generate")
"""Settings that change what an answer looks like: of more log-probabilities TRL takes the likeliest token's."""


_ALIKE: dict[str, Callable[[Any], bool]] = {
    "seed": lambda seed: seed is not None,
    "do_sample": lambda draws: draws is False,
    "num_beams": lambda beams: beams not in (None, 1),
}
"""A setting of a request -> whether its value gives all responses to a prompt the same words."""


def _kwargs_faults(kwargs: Mapping[str, Any]) -> Iterator[str]:
    for name in kwargs:
        if name in _FIELDS:
            yield f"trl.generation_kwargs: {name} would be set apart from its field; set trl.{_FIELDS[name]} instead"
        elif name in _READ:
            yield f"trl.generation_kwargs: {name} changes how answers are read, not what is drawn; leave it out"
        elif name in _ALIKE and _ALIKE[name](kwargs[name]):
            why = "makes all responses of a group the same, and they teach nothing"
            yield f"trl.generation_kwargs: {name} {why}; leave it out"


def _shared_engine_faults(trl: Mapping[str, Any], world_size: int) -> Iterator[str]:
    """Yield why an engine can't carry responses for several processes, each of which has a pool of its own."""
    if trl.get("vllm_mode") == "server":
        yield (
            f"rollouts.mode: carry draws through a server for one process that trains, not for {world_size}; set "
            "trl.vllm_mode: colocate, an engine beside each, or rollouts: {mode: wait}"
        )
    elif int(trl.get("vllm_tensor_parallel_size") or 1) > 1:
        yield (
            "rollouts.mode: carry needs an engine for each process that trains, and "
            f"trl.vllm_tensor_parallel_size: {trl['vllm_tensor_parallel_size']} shares one; set it to 1, or rollouts: "
            "{mode: wait}"
        )


class Overlong(Section):
    """What is done about responses that reach max_completion_length."""

    rule: Literal["none", "mask", "penalty"] = objective(
        "none",
        description="mask: truncated responses are not trained; penalty: long ones lose reward, as in DAPO (Eq. 13)",
    )
    buffer: Positive | None = objective(
        None, description="penalty: tokens before max_completion_length over which it grows from 0 to 1"
    )

    @model_validator(mode="after")
    def _has_a_buffer(self) -> "Overlong":
        if (self.rule == "penalty") != (self.buffer is not None):
            raise ValueError("rule: penalty and buffer, the tokens over which it grows, go together")
        return self
