"""Packed rows: several samples side by side in one sequence, told apart by their position ids alone.

No attention mask is passed: transformers finds the samples of a row from position ids only when there is no mask and
no cache, and with an all-ones mask samples would see each other without an error.
`check_packing_is_isolated` refuses models that do not hold samples apart.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.c3po.attention import NAME, packed_inputs, register, takes_borders
from ringlite_cli.errors import UserError

IGNORED = -100
"""The label of a position that is not trained."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt with the kept part of one response.

    trained: which response tokens carry loss (None = all). Tool output, for example, is context only.
    sampled: the log-probabilities that the engine drew its tokens with. weight: of each of its tokens in the loss.
    """

    index: int
    prompt: list[int]
    response: list[int]
    advantage: float
    trained: list[bool] | None = None
    sampled: list[float] | None = None
    weight: float = 1.0

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


def pack_row(samples: Sequence[Sample], device: torch.device | str | None = None) -> dict[str, Any]:
    """One row from samples; an empty list gives a filler row. All tensors are (1, T).

    input_ids; position_ids, from 0 in each sample; shift_labels, the next token where it is trained, else -100;
    advantages and weights, constant within a sample; sampling_log_probs, beside the labels, where every sample has
    them; attention, the keywords that tell attention where samples end.
    """
    ids: list[int] = []
    borders = [0]
    positions: list[int] = []
    labels: list[int] = []
    advantages: list[float] = []
    weights: list[float] = []
    sampled: list[float] = []
    for sample in samples or [FILLER]:
        trained = sample.trained or [True] * len(sample.response)
        ids += sample.prompt + sample.response
        positions += range(sample.size)
        labels += [IGNORED] * (len(sample.prompt) - 1)
        labels += [token if keep else IGNORED for token, keep in zip(sample.response, trained, strict=True)]
        labels += [IGNORED]
        advantages += [sample.advantage] * sample.size
        weights += [sample.weight] * sample.size
        sampled += [math.nan] * (len(sample.prompt) - 1) + (sample.sampled or [math.nan] * len(sample.response))
        sampled += [math.nan]
        borders.append(len(ids))
    as_row = {"input_ids": ids, "position_ids": positions, "shift_labels": labels}
    row: dict[str, Any] = {
        name: torch.tensor([values], dtype=torch.long, device=device) for name, values in as_row.items()
    }
    numbers = {"advantages": advantages, "weights": weights}
    if any(sample.sampled for sample in samples):
        numbers["sampling_log_probs"] = sampled
    row |= {name: torch.tensor([values], dtype=torch.float32, device=device) for name, values in numbers.items()}
    row["attention"] = packed_inputs(borders, device)
    return row


def forward_inputs(model: nn.Module, row: dict[str, Any]) -> dict[str, Any]:
    """What a decoder needs to read a packed row."""
    inputs = {"input_ids": row["input_ids"], "position_ids": row["position_ids"]}
    return inputs | (row["attention"] if takes_borders(base_causal_lm(model)) else {})


def sample_of_token(row: dict[str, Any]) -> Tensor:
    """Return the number of each token's sample in a packed row, from 0; (1, T)."""
    numbers: Tensor = (row["position_ids"] == 0).cumsum(-1) - 1
    return numbers


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


PROBE_TOKENS, PROBE_BORDER = 24, 13


def use_packed_attention(model: nn.Module) -> str:
    """Sets the packed attention where it gives what the model's own gives one by one, and returns the name in use.

    A model with an attention of its own kind (sinks, soft caps, biases) keeps it, and is checked with it.
    Raises UserError for an architecture that lets packed samples see each other.
    """
    lm = base_causal_lm(model)
    own = str(lm.config._attn_implementation)
    if own != NAME:
        alone, leak = _probe_alone(model)
        try:
            lm.set_attn_implementation(register())
            fits = _change(_probe_packed(model), alone) <= max(0.1 * leak, 1e-6)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            fits = False
        if fits:
            return NAME
        lm.set_attn_implementation(own)
    check_packing_is_isolated(model)
    return own


@contextmanager
def packed_attention_in_use(model: nn.Module) -> Iterator[None]:
    """`use_packed_attention` for a while; the model's own attention is put back."""
    lm = base_causal_lm(model)
    own = lm.config._attn_implementation
    use_packed_attention(model)
    try:
        yield
    finally:
        if lm.config._attn_implementation != own:
            lm.set_attn_implementation(own)


def check_packing_is_isolated(model: nn.Module) -> None:
    """Runs two short samples packed and one by one; raises UserError if the second changes with its neighbour.

    What is allowed is a tenth of the change that a real leak makes (both samples as one sequence), so that the check
    needs no tolerance per dtype. Means over tokens are compared, because a router may flip a near tie of one token.
    """
    alone, leak = _probe_alone(model)
    change = _change(_probe_packed(model), alone)
    if not change <= max(0.1 * leak, 1e-6):
        architecture = type(base_causal_lm(model)).__name__
        raise UserError(
            f"{architecture} lets packed samples see each other (a sample's hidden states change by {change:.2g} on "
            f"average when it is packed; a full leak changes them by {leak:.2g})",
            where=f"attn_implementation {base_causal_lm(model).config._attn_implementation}",
            hint="use sdpa, eager or flash_attention_2, and an architecture that tells samples apart by position_ids "
            "(attention in every layer: qwen2, qwen3, qwen3_moe, ernie4_5_moe, llama, olmoe ...)",
        )


def _probe_alone(model: nn.Module) -> tuple[Tensor, float]:
    """Hidden states of the probe's second sample by itself, and how far a full leak moves them."""
    tokens, joined = _probe_tokens(model), torch.arange(PROBE_TOKENS)[None]
    alone = _hidden(model, tokens[:, PROBE_BORDER:], joined[:, : PROBE_TOKENS - PROBE_BORDER])
    return alone, _change(_hidden(model, tokens, joined)[:, PROBE_BORDER:], alone)


def _probe_packed(model: nn.Module) -> Tensor:
    """Hidden states of the probe's second sample behind its first."""
    borders = [0, PROBE_BORDER, PROBE_TOKENS]
    positions = torch.cat([torch.arange(PROBE_BORDER), torch.arange(PROBE_TOKENS - PROBE_BORDER)])[None]
    tokens = _probe_tokens(model)
    extra = packed_inputs(borders, tokens.device) if takes_borders(base_causal_lm(model)) else {}
    return _hidden(model, tokens, positions, **extra)[:, PROBE_BORDER:]


def _probe_tokens(model: nn.Module) -> Tensor:
    vocabulary = base_causal_lm(model).config.get_text_config().vocab_size
    tokens = torch.randint(0, vocabulary, (1, PROBE_TOKENS), generator=torch.Generator().manual_seed(5))
    return tokens.to(next(model.parameters()).device)


def _hidden(model: nn.Module, tokens: Tensor, positions: Tensor, **extra: Any) -> Tensor:
    inputs = {"input_ids": tokens, "position_ids": positions.to(tokens.device), **extra}
    with evaluating(model):
        return backbone(model)(**inputs, use_cache=False).last_hidden_state.float()


def _change(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().mean().item()
