"""What an RL stage draws its responses with, beyond the engine: fields of generation, weights of rewards, room."""

from collections.abc import Iterator, Mapping
from typing import Any

from ringlite_cli.config_numbers import context_length
from ringlite_cli.errors import first_line, near
from ringlite_cli.models.sizes import network_without_weights
from ringlite_cli.recipe.schema import RlStage
from ringlite_cli.stages.base import Context, Finding


def sampling_is_known(context: Context) -> Iterator[Finding]:
    """Check fields of an RL stage's `trl:` that TRL reads when its first rollout begins."""
    section: RlStage = context.section
    where = f"stages.{context.name}.trl"
    weights = section.trl.get("reward_weights")
    if weights is not None and len(weights) != 1:
        what = f"{len(weights)} weights, and ringlite gives TRL one reward"
        yield Finding(f"{where}.reward_weights", what, "give one, or leave it out")
    elif weights is not None and not weights[0]:
        what = "a weight of 0 leaves nothing to learn from"
        yield Finding(f"{where}.reward_weights", what, "give another, or leave it out")
    yield from _generation(section.trl, where)


def _generation(trl: Mapping[str, Any], where: str) -> Iterator[Finding]:
    given = trl.get("generation_kwargs") or {}
    if trl.get("use_vllm"):
        known = _fields_of_vllm() if given else None
        owner = "vLLM's SamplingParams"
    else:
        from transformers import GenerationConfig

        known, owner = set(GenerationConfig().to_dict()), "transformers' GenerationConfig"
        try:
            GenerationConfig(cache_implementation=trl.get("cache_implementation"), **given)
        except Exception as error:
            key = "cache_implementation" if trl.get("cache_implementation") else "generation_kwargs"
            yield Finding(f"{where}.{key}", f"transformers refuses it ({first_line(error)})")
    for name in given:
        if known is not None and name not in known:
            hint = near(name, known, "see its documentation for what it has")
            yield Finding(f"{where}.generation_kwargs", f"{name!r} is not a field of {owner}", hint)


def _fields_of_vllm() -> set[str] | None:
    try:
        from vllm import SamplingParams
    except ImportError:
        return None  # the check of the engine says so
    return set(SamplingParams.__struct_fields__)


def responses_have_room(context: Context) -> Iterator[Finding]:
    """Check that a response of `max_completion_length` leaves model and engine some tokens for a prompt."""
    longest = context.section.max_completion_length
    if context.section.kind == "rl" and context.section.trl.get("use_vllm"):
        most = context.section.trl.get("vllm_max_model_length")
        if most and longest >= most:
            what = f"responses of {longest:,} tokens leave no room for a prompt in its {most:,}"
            key = f"stages.{context.name}.trl.vllm_max_model_length"
            yield Finding(key, what, "raise it, or lower max_completion_length")
    try:
        network = network_without_weights(context.recipe.model)
    except Exception:
        return  # what is wrong with the model itself is another check's to say
    positions = context_length(network.config) if network else None
    if positions and longest >= positions:
        key = "trl.max_completion_length" if context.section.kind == "rl" else "max_completion_length"
        what = f"responses of {longest:,} tokens leave no room for a prompt in the model's context of {positions:,}"
        yield Finding(f"stages.{context.name}.{key}", what, "lower it")
