"""This rank's responses on the host, out of TRL's padded batches: what samples are cut from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.c3po.budget import Pick
from ringlite_cli.c3po.packing import PackedSample


def held_responses(batch: Mapping[str, Tensor]) -> list[PackedSample]:
    """Return the rows of one of TRL's padded batches as whole samples, numbered by their rows.

    Padding stays behind, on the device: tokens and ages are int32, and each column is copied once.
    """
    sizes = batch["completion_mask"].sum(1).tolist()
    prompt_sizes = batch["prompt_mask"].sum(1).tolist()
    advantages = batch["advantages"].tolist()
    prompts = _unpadded(batch["prompt_ids"], prompt_sizes, torch.int32, left=True)
    responses = _unpadded(batch["completion_ids"], sizes, torch.int32)
    optional = {
        field: _unpadded(batch[column], sizes, dtype)
        for field, column, dtype in (
            ("trained", "tool_mask", torch.bool),
            ("sampled", "sampling_per_token_logps", torch.float32),
            ("ages", "token_ages", torch.int32),
        )
        if batch.get(column) is not None
    }
    samples = []
    for i, (prompt, response, advantage) in enumerate(zip(prompts, responses, advantages, strict=True)):
        beside: dict[str, Any] = {field: values[i] for field, values in optional.items()}
        samples.append(PackedSample(i, prompt, response, advantage, **beside))
    return samples


def _unpadded(padded: Tensor, sizes: Sequence[int], dtype: torch.dtype, *, left: bool = False) -> list[Tensor]:
    """Return each row without its padding: views of one tensor on the host. left: the padding stands before."""
    width = padded.shape[1]
    rows = [row[width - size :] if left else row[:size] for row, size in zip(padded, sizes, strict=True)]
    return list(torch.cat(rows).to(dtype).cpu().split(list(sizes)))


def prefix(sample: PackedSample, pick: Pick, weight: float, domain: int) -> PackedSample:
    """Return the picked part of a response as a sample of its update."""
    end = pick.tokens if sample.trained is None else _position_of(torch.as_tensor(sample.trained), pick.tokens)
    return replace(
        sample,
        index=pick.index,
        response=sample.response[:end],
        trained=None if sample.trained is None else sample.trained[:end],
        sampled=None if sample.sampled is None else sample.sampled[:end],
        weight=weight,
        ages=None if sample.ages is None else sample.ages[:end],
        domain=domain,
    )


def _position_of(trained: Tensor, tokens: int) -> int:
    """Return the length of the shortest prefix with that many trained tokens; all where there are fewer."""
    return min(int((trained.cumsum(0) < tokens).sum()) + 1, len(trained))
