"""The entropy of sampled responses under the policy that drew them."""

from collections.abc import Sequence
from typing import Any, Protocol

from ringlite_cli.samples import Request, Sample

ROW_TOKENS = 8192
CPU_ROW_TOKENS = 512
"""A CPU computes a packed row's attention in full, so long rows cost it their square; 512 was the fastest measured."""


class WithModel(Protocol):
    """A sampler whose model can be run forward: TransformersSampler."""

    model: Any

    def prompt_ids(self, request: Request) -> list[int]: ...


def sampled_entropy(
    sampler: WithModel, samples: Sequence[tuple[Request, Sample]], *, row_tokens: int = ROW_TOKENS
) -> list[float]:
    """Mean entropy of each response in nats per token: the full distribution at temperature 1, by a packed forward.

    The function that the RL trainer logs (c3po/entropy.py), on the sampler's own model, in the order given.
    row_tokens: aimed length of a packed row; shorter on a CPU. It changes the speed and the memory, not the result.
    """
    from ringlite_cli.c3po.entropy import policy_entropy

    prompts: dict[str, list[int]] = {}
    pairs = []
    for request, sample in samples:
        if request.problem_id not in prompts:
            prompts[request.problem_id] = sampler.prompt_ids(request)
        pairs.append((prompts[request.problem_id], sample.token_ids))
    if sampler.model.device.type == "cpu":
        row_tokens = min(row_tokens, CPU_ROW_TOKENS)
    return [result.entropy for result in policy_entropy(sampler.model, pairs, row_tokens)]
