"""What a running vLLM engine can be told anew for a stage: how much it takes at a time, which log-probabilities, sleep.

An engine that was started for more is held to the numbers of one that would have been started for the stage alone: it
then puts the same responses into a step, cuts them at the same length, and draws the same.
"""

from dataclasses import dataclass
from typing import Any

from ringlite_cli.sampling.engine_key import EngineKey


@dataclass(frozen=True)
class Limits:
    """Tokens of a prompt with its response, responses under way at a time, and tokens of a step."""

    length: int
    responses: int
    tokens: int


def started_with(llm: Any) -> Limits:
    """Return the limits that an engine was started with, which it cannot exceed."""
    config = llm.llm_engine.vllm_config
    scheduler = config.scheduler_config
    return Limits(config.model_config.max_model_len, scheduler.max_num_seqs, scheduler.max_num_batched_tokens)


def asked_for(held: EngineKey, key: EngineKey, most: Limits) -> Limits:
    """Return the limits that a stage asks for, of an engine that was started for `held` with `most`."""
    usual = most.responses if held.engine.max_num_seqs is None else _usual_responses()
    return Limits(key.max_model_length or most.length, key.engine.max_num_seqs or usual, key.batched_tokens)


def too_small(held: EngineKey, key: EngineKey, most: Limits) -> str:
    """Return why an engine that was started for `held` with `most` cannot do what a stage asks for; '' where it can."""
    asked = asked_for(held, key, most)
    if held.max_model_length and not key.max_model_length:
        return f"it takes {most.length:,} tokens, and all that the model can take are asked for"
    if asked.length > most.length:
        return f"it takes {most.length:,} tokens, and {asked.length:,} are asked for"
    if asked.responses > most.responses:
        return f"it takes {most.responses:,} responses at a time, and {asked.responses:,} are asked for"
    if asked.tokens > most.tokens:
        return f"it takes {most.tokens:,} tokens a step, and {asked.tokens:,} are asked for"
    if key.graphs > held.graphs:
        return "it has CUDA graphs for fewer responses"
    return ""


def hold_to(llm: Any, limits: Limits, logprobs_mode: str) -> None:
    """Hold an engine with nothing under way to a stage's limits, and have it tell log-probabilities of this mode."""
    scheduler = llm.llm_engine.engine_core.engine_core.scheduler
    scheduler.max_num_running_reqs = limits.responses
    if hasattr(scheduler, "max_num_active_reqs"):
        scheduler.max_num_active_reqs = limits.responses
    scheduler.max_num_scheduled_tokens = limits.tokens
    scheduler.max_model_len = limits.length

    def tell(worker: Any) -> None:
        runner = worker.model_runner
        if runner.sampler.logprobs_mode != logprobs_mode:
            runner.sampler = _telling(runner.sampler, logprobs_mode)

    llm.llm_engine.collective_rpc(tell)


def wake(llm: Any) -> None:
    """Have an engine take its memory back; what was in it is lost."""
    if asleep := _asleep(llm):
        llm.wake_up(tags=sorted(asleep))


def put_to_sleep(llm: Any) -> None:
    """Have an engine with sleep mode give its memory back, its weights with it."""
    if "weights" not in _asleep(llm):
        wake(llm)
        llm.sleep(level=2)


def _asleep(llm: Any) -> set[str]:
    return set(llm.llm_engine.model_executor.sleeping_tags)


def _telling(sampler: Any, mode: str) -> Any:
    """Return a vLLM sampler that tells log-probabilities of this mode; which kernels draw follows from that too."""
    inner = getattr(sampler, "topk_topp_sampler", None)
    if inner is None:  # of the newer runner, which asks for the mode when it draws
        sampler.logprobs_mode = mode
        return sampler
    exact = {"use_fp64_gumbel": inner.use_fp64_gumbel} if hasattr(inner, "use_fp64_gumbel") else {}
    return type(sampler)(logprobs_mode=mode, **exact)


def _usual_responses() -> int:
    """Return the responses that vLLM takes at a time on this machine unless it is told; versions that do not say: more
    than any engine does."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    try:
        return int(EngineArgs.get_batch_defaults(world_size=1)[1][UsageContext.LLM_CLASS])
    except (AttributeError, KeyError, TypeError):
        return 1 << 30
