"""Packed rows: several samples side by side in one sequence, told apart by their position ids alone.

No attention mask is passed: transformers finds the samples of a row from position ids only when there is no mask and
no cache, and with an all-ones mask samples would see each other without an error.
`row_path` proves for each model that samples are held apart, and runs them one by one where they are not.
"""

import heapq
import math
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.c3po.attention import packed_inputs, takes_borders

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
    lm = base_causal_lm(model)
    inner = lm.base_model
    return lm.model if inner is lm and hasattr(lm, "model") else inner


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
