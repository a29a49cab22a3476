"""The entropy of sampled responses under the policy that drew them."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from ringlite_cli.chat.thinking import Thinking
from ringlite_cli.chat.training import SampleMaker
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import SelectStage
from ringlite_cli.samples import Request, SampledResponse

ROW_TOKENS = int(SelectStage.model_fields["row_tokens"].default)
SCORED_ON_CPU = 512
"""A CPU computes a packed row's attention in full, so long rows cost it their square; 512 was the fastest measured."""


@runtime_checkable
class Scored(Protocol):
    """A sampler that other processes draw for: they have scored its samples, and score traces for it."""

    def forced(
        self, traces: Sequence[tuple[Request, str]], *, row_tokens: int, thinking: Thinking
    ) -> list[tuple[float, float, int]]: ...


class WithModel(Protocol):
    """A sampler whose model can be run forward: TransformersSampler."""

    model: Any
    tokenizer: Any

    def prompt_ids(self, request: Request) -> list[int]: ...


def sampled_entropy(
    sampler: WithModel | Scored, samples: Sequence[tuple[Request, SampledResponse]], *, row_tokens: int = ROW_TOKENS
) -> list[float]:
    """Mean entropy of each response in nats per token: the full distribution at temperature 1, by a packed forward.

    The function that the RL trainer logs (c3po/entropy.py), on the sampler's own model, in the order given.
    row_tokens: aimed length of a packed row; shorter on a CPU. It changes the speed and the memory, not the result.
    """
    from ringlite_cli.c3po.entropy import policy_entropy

    if isinstance(sampler, Scored):
        return [sample.entropy or 0.0 for _, sample in samples]
    prompts: dict[str, list[int]] = {}
    pairs = []
    for request, sample in samples:
        if not sample.token_ids:
            raise UserError(
                "the server gives no token ids, without which entropy cannot be computed",
                where="engine",
                hint="vLLM gives them; or draw with transformers or vllm",
            )
        if request.problem_id not in prompts:
            prompts[request.problem_id] = sampler.prompt_ids(request)
        pairs.append((prompts[request.problem_id], sample.token_ids))
    scored = policy_entropy(sampler.model, pairs, _row_tokens(sampler, row_tokens))
    return [result.entropy for result in scored]


def forced_scores(
    sampler: WithModel | Scored,
    traces: Sequence[tuple[Request, str]],
    *,
    row_tokens: int = ROW_TOKENS,
    thinking: Thinking = "auto",
) -> list[tuple[float, float, int]]:
    """(entropy, loss, tokens) of each trace as the response to its request: teacher-forced, nats per token.

    The trace is the response that SFT trains, its end token included.
    """
    from ringlite_cli.c3po.entropy import policy_entropy

    if isinstance(sampler, Scored):
        return sampler.forced(traces, row_tokens=row_tokens, thinking=thinking)
    pairs = []
    maker = SampleMaker(sampler.tokenizer, {}, thinking)
    for request, trace in traces:
        prompt = sampler.prompt_ids(request)
        pairs.append((prompt, maker.of_turns(request.messages, trace).response_ids))
    scored = policy_entropy(sampler.model, pairs, _row_tokens(sampler, row_tokens))
    return [(s.entropy, -sum(s.log_probs) / max(1, len(s.log_probs)), len(s.log_probs)) for s in scored]


def _row_tokens(sampler: WithModel, row_tokens: int) -> int:
    return min(row_tokens, SCORED_ON_CPU) if sampler.model.device.type == "cpu" else row_tokens
