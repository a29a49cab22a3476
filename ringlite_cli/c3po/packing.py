"""Packed rows: several samples side by side in one sequence, told apart by their position ids alone.

No attention mask is passed: transformers finds the samples of a row from position ids only when there is no mask and
no cache, and with an all-ones mask samples would see each other without an error.
`row_path` proves for each model that samples are held apart, and runs them one by one where they are not.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.c3po.attention import packed_inputs, takes_borders

IGNORED = -100
"""The label of a position that is not trained."""


@dataclass(frozen=True, slots=True)
class PackedSample:
    """A prompt with the kept part of one response. What it has of each token is a list or a tensor on the host.

    trained: which response tokens carry loss (None = all). Tool output, for example, is context only.
    sampled: the log-probabilities that the engine drew its tokens with. weight: of each of its tokens in the loss.
    ages: rollouts ago that each response token was drawn; None where all are of this one. domain: a number for the log.
    """

    index: int
    prompt: Sequence[int] | Tensor
    response: Sequence[int] | Tensor
    advantage: float
    trained: Sequence[bool] | Tensor | None = None
    sampled: Sequence[float] | Tensor | None = None
    weight: float = 1.0
    ages: Sequence[int] | Tensor | None = None
    domain: int = 0

    @property
    def size(self) -> int:
        return len(self.prompt) + len(self.response)


FILLER = PackedSample(index=-1, prompt=[0, 0], response=[], advantage=0.0)
"""Stands in a row that got no sample, so that every rank has the same number of forward passes."""


def balance_rows(sizes: Sequence[int], rows: int) -> list[list[int]]:
    """Spread samples over rows, longest first into the lightest row (LPT); return indices per row, ascending.

    The heaviest row is at most mean + longest sample.
    """
    loads = [(0, row) for row in range(rows)]
    members: list[list[int]] = [[] for _ in range(rows)]
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        load, row = heapq.heappop(loads)
        members[row].append(index)
        heapq.heappush(loads, (load + sizes[index], row))
    return [sorted(row) for row in members]


def pack_row(samples: Sequence[PackedSample], device: torch.device | str | None = None) -> dict[str, Any]:
    """One row from samples; an empty list gives a filler row. All tensors are (1, T).

    input_ids; position_ids, from 0 in each sample; shift_labels, the next token where it is trained, else -100;
    advantages and weights, constant within a sample; sampling_log_probs, ages and domains, beside the labels, where
    samples have log-probabilities; attention, the keywords that tell attention where samples end.
    """
    held = samples or [FILLER]
    borders = [0, *accumulate(sample.size for sample in held)]
    of_engine = any(sample.sampled is not None and len(sample.sampled) for sample in samples)
    row: dict[str, Any] = {
        name: torch.full((1, borders[-1]), filler, dtype=torch.long if isinstance(filler, int) else torch.float32)
        for name, filler in (_COLUMNS | (_OF_ENGINE if of_engine else {})).items()
    }
    for sample, (start, end) in zip(held, pairwise(borders), strict=True):
        _fill({name: column[0, start:end] for name, column in row.items()}, sample)
    row = {name: column.to(device) if device is not None else column for name, column in row.items()}
    row["attention"] = packed_inputs(borders, device)
    return row


_COLUMNS: dict[str, float] = {
    "input_ids": 0,
    "position_ids": 0,
    "shift_labels": IGNORED,
    "advantages": 0.0,
    "weights": 1.0,
}
"""The columns of every row, with what stands where no sample has anything."""
_OF_ENGINE: dict[str, float] = {"sampling_log_probs": math.nan, "ages": 0, "domains": 0}
"""The columns of rows whose samples have an engine's log-probabilities."""


def _fill(columns: Mapping[str, Tensor], sample: PackedSample) -> None:
    """Write a sample into its stretch of a row's columns."""
    prompt, response = torch.as_tensor(sample.prompt), torch.as_tensor(sample.response)
    before, beside = len(prompt), slice(len(prompt) - 1, sample.size - 1)  # a label stands beside the token before it
    columns["input_ids"][:before], columns["input_ids"][before:] = prompt, response
    torch.arange(sample.size, out=columns["position_ids"])
    labels = columns["shift_labels"][beside]
    labels.copy_(response)
    if sample.trained is not None and len(sample.trained):
        labels.masked_fill_(~torch.as_tensor(sample.trained, dtype=torch.bool), IGNORED)
    columns["advantages"].fill_(sample.advantage)
    columns["weights"].fill_(sample.weight)
    if "ages" not in columns:
        return
    columns["domains"].fill_(sample.domain)
    for name, values in (("sampling_log_probs", sample.sampled), ("ages", sample.ages)):
        if values is not None and len(values):
            columns[name][beside] = torch.as_tensor(values, dtype=columns[name].dtype)


def halves(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Cut a packed row in two between samples, as evenly as they allow; [row] where it has a single sample."""
    borders: list[int] = row["attention"]["cu_seq_lens_q"].tolist()
    if len(borders) < 3:
        return [row]
    cut = min(borders[1:-1], key=lambda place: abs(2 * place - borders[-1]))
    return [_stretch(row, borders, start, end) for start, end in ((0, cut), (cut, borders[-1]))]


def repacked(
    rows: Sequence[dict[str, Any]], sizes: Sequence[int], count: int
) -> tuple[list[dict[str, Any]], list[int]]:
    """Spread the samples of packed rows over `count` rows, balanced; return these and their tokens.

    sizes: the tokens of each row, 0 for a filler.
    """
    samples = []
    for row, size in zip(rows, sizes, strict=True):
        borders: list[int] = row["attention"]["cu_seq_lens_q"].tolist()
        samples += [_stretch(row, borders, start, end) for start, end in pairwise(borders if size else [])]
    lengths = [sample["input_ids"].numel() for sample in samples]
    members = balance_rows(lengths, count)
    made = [_joined([samples[i] for i in row]) if row else _filler_beside(rows[0]) for row in members]
    return made, [sum(lengths[i] for i in row) for row in members]


def _stretch(row: Mapping[str, Any], borders: Sequence[int], start: int, end: int) -> dict[str, Any]:
    """Return the samples of a packed row from one border to another, as a row."""
    part = {name: x[:, start:end] for name, x in row.items() if isinstance(x, Tensor)}
    inside = [border - start for border in borders if start <= border <= end]
    return part | {"attention": packed_inputs(inside, row["input_ids"].device)}


def _joined(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one row with the samples of several. What an engine told is nothing where a row has none of it."""
    lengths = [row["input_ids"].shape[1] for row in rows]
    known = {name: x for row in rows for name, x in row.items() if isinstance(x, Tensor)}
    joined: dict[str, Any] = {}
    for name, x in known.items():
        nothing = [x.new_full((1, length), _OF_ENGINE.get(name, 0)) for length in lengths]
        joined[name] = torch.cat([row.get(name, none) for row, none in zip(rows, nothing, strict=True)], dim=1)
    return joined | {"attention": packed_inputs([0, *accumulate(lengths)], joined["input_ids"].device)}


def _filler_beside(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filler row with the columns that another row was given later, such as log-probabilities."""
    filler = pack_row([], row["input_ids"].device)
    later = {name: x for name, x in row.items() if isinstance(x, Tensor) and name not in {*filler, *_OF_ENGINE}}
    return filler | {name: x.new_zeros(filler["input_ids"].shape) for name, x in later.items()}


def forward_inputs(model: nn.Module, row: dict[str, Any]) -> dict[str, Any]:
    """Return what a decoder needs to read a packed row."""
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
    """Switch gradients and dropout off for the block, and put the model's mode back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
