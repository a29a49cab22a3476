"""Packed rows: several samples side by side in one sequence, told apart by their position ids alone.

No attention mask is passed: transformers finds the samples of a row from position ids only when there is no mask and
no cache, and with an all-ones mask samples would see each other without an error.
`check_packing_is_isolated` refuses models that do not hold samples apart.
"""

import heapq
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.errors import UserError

IGNORED = -100
"""The label of a position that is not trained."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt with the kept part of one response.

    trained: which response tokens carry loss (None = all). Tool output, for example, is context only.
    """

    index: int
    prompt: list[int]
    response: list[int]
    advantage: float
    trained: list[bool] | None = None

    @property
    def size(self) -> int:
        return len(self.prompt) + len(self.response)


FILLER = Sample(index=-1, prompt=[0, 0], response=[], advantage=0.0)
"""Stands in a row that got no sample, so that every rank has the same number of forward passes."""


def balance_rows(sizes: Sequence[int], rows: int) -> list[list[int]]:
    """Spreads samples over rows, longest first into the lightest row (LPT). Returns indices per row, ascending.

    The heaviest row is at most mean + longest sample.
    """
    loads = [(0, row) for row in range(rows)]
    members: list[list[int]] = [[] for _ in range(rows)]
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        load, row = heapq.heappop(loads)
        members[row].append(index)
        heapq.heappush(loads, (load + sizes[index], row))
    return [sorted(row) for row in members]


def pack_row(samples: Sequence[Sample], device: torch.device | str | None = None) -> dict[str, Tensor]:
    """One row from samples; an empty list gives a filler row. All tensors are (1, T).

    input_ids; position_ids, from 0 in each sample; shift_labels, the next token where it is trained, else -100;
    advantages, constant within a sample.
    """
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    advantages: list[float] = []
    for sample in samples or [FILLER]:
        trained = sample.trained or [True] * len(sample.response)
        ids += sample.prompt + sample.response
        positions += range(sample.size)
        labels += [IGNORED] * (len(sample.prompt) - 1)
        labels += [token if keep else IGNORED for token, keep in zip(sample.response, trained, strict=True)]
        labels += [IGNORED]
        advantages += [sample.advantage] * sample.size
    as_row = {"input_ids": ids, "position_ids": positions, "shift_labels": labels}
    row = {name: torch.tensor([values], dtype=torch.long, device=device) for name, values in as_row.items()}
    row["advantages"] = torch.tensor([advantages], dtype=torch.float32, device=device)
    return row


def base_causal_lm(model: nn.Module) -> Any:
    """The causal language model under a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]


def backbone(model: nn.Module) -> Any:
    """The decoder without its language-model head."""
    return base_causal_lm(model).base_model


@contextmanager
def evaluating(model: nn.Module) -> Any:
    """No gradients, no dropout; the model's mode is put back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def check_packing_is_isolated(model: nn.Module) -> None:
    """Runs two short samples packed and one by one; raises UserError if the second changes with its neighbour.

    What is allowed is a tenth of the change that a real leak makes (both samples as one sequence), so that the check
    needs no tolerance per dtype. Means over tokens are compared, because a router may flip a near tie of one token.
    """
    vocabulary = base_causal_lm(model).config.get_text_config().vocab_size
    device = next(model.parameters()).device
    tokens = torch.randint(0, vocabulary, (1, 24), generator=torch.Generator().manual_seed(5)).to(device)
    first = 13
    apart = torch.cat([torch.arange(first), torch.arange(24 - first)])[None].to(device)
    joined = torch.arange(24)[None].to(device)

    def hidden(ids: Tensor, positions: Tensor) -> Tensor:
        return backbone(model)(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state.float()

    with evaluating(model):
        alone = hidden(tokens[:, first:], apart[:, first:])
        packed = hidden(tokens, apart)[:, first:]
        leaking = hidden(tokens, joined)[:, first:]
    change = (packed - alone).abs().mean().item()
    leak = (leaking - alone).abs().mean().item()
    if not change <= max(0.1 * leak, 1e-6):
        architecture = type(base_causal_lm(model)).__name__
        raise UserError(
            f"{architecture} lets packed samples see each other (a sample's hidden states change by {change:.2g} on "
            f"average when it is packed; a full leak changes them by {leak:.2g})",
            where=f"attn_implementation {base_causal_lm(model).config._attn_implementation}",
            hint="use sdpa, eager or flash_attention_2, and an architecture that tells samples apart by position_ids "
            "(attention in every layer: qwen2, qwen3, qwen3_moe, ernie4_5_moe, llama, olmoe ...)",
        )
