"""Sampling with transformers `generate`: works for any causal LM on any device, without another engine.

How it differs from a plain call of `generate`: batches hold prompts of like length and a bounded number of tokens;
each sample has its own random stream (draw.py); when half of a batch's rows have ended, the rows that go on carry on
alone with their part of the cache, so that a long response does not keep the whole batch busy.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria
from transformers.generation.utils import ALL_CACHE_NAMES

from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import prompt_end, response_texts, without_end_token
from ringlite_cli.errors import UserError
from ringlite_cli.runs.stopping import stop_after
from ringlite_cli.sampling.draw import SeededDraw
from ringlite_cli.sampling.load import load_model, load_tokenizer, positions_of
from ringlite_cli.sampling.sampler import (
    OnDone,
    OnProgress,
    Progress,
    Request,
    SampledResponse,
    SamplingSettings,
    sample_seed,
)

_CACHE = "cache" if "cache" in ALL_CACHE_NAMES else "past_key_values"
"""What this version of transformers calls the keys and values of earlier tokens."""
_FEW_ROWS = 8
"""A batch this small is not worth shrinking: a step costs about the same for 8 rows as for one."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One response to make: the request's place, the sample's index and the prompt's tokens."""

    request: int
    index: int
    prompt: list[int]
    seed: int


class TransformersSampler:
    """A policy from a model folder or hub id; `model` and `tokenizer` may be used beside it."""

    def __init__(
        self,
        model_path: str | Path,
        *,
        settings: SamplingSettings,
        dtype: str | None = None,
        device: str | None = None,
        progress: OnProgress | None = None,
    ) -> None:
        self.settings, self.progress = settings, progress
        self.tokenizer = load_tokenizer(model_path)
        self.model = load_model(model_path, dtype=dtype, device=device)
        self.end_ids = _end_ids(self.model, self.tokenizer)
        self.max_positions = positions_of(self.model.config)
        # The model's own defaults (top_k, repetition penalties ...) would change the policy that is measured.
        self.model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=self.end_ids, pad_token_id=self.tokenizer.pad_token_id
        )

    def prompt_ids(self, request: Request) -> list[int]:
        return prompt_ids(self.tokenizer, request.messages)

    def sample(
        self, requests: Sequence[Request], on_done: OnDone | None = None, progress: OnProgress | None = None
    ) -> list[list[SampledResponse]]:
        """See Sampler.sample. Raises UserError for a prompt that leaves no room for a response."""
        progress = progress or self.progress
        started, tokens, done = time.monotonic(), 0, 0
        rows = self._rows(requests)
        results: list[list[SampledResponse]] = [[] for _ in requests]
        for batch in make_batches(rows, self.settings, self.max_positions):
            made = self._sample_batch(batch, requests)
            with stop_after():
                for row, sample in zip(batch, made, strict=True):
                    group = results[row.request]
                    group.append(sample)
                    tokens, done = tokens + len(sample.token_ids), done + 1
                    if len(group) == requests[row.request].num_generations:
                        group.sort(key=lambda s: s.index)
                        if on_done:
                            on_done(requests[row.request], group)
            if progress:
                progress(Progress(done, len(rows), tokens, time.monotonic() - started))
        return results

    def close(self) -> None:
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _rows(self, requests: Sequence[Request]) -> list[_Row]:
        rows = []
        for place, request in enumerate(requests):
            prompt = self.prompt_ids(request)
            if len(prompt) >= self.max_positions:
                raise UserError(
                    f"the prompt has {len(prompt):,} tokens but the model takes {self.max_positions:,} positions",
                    where=f"problem {request.problem_id}",
                    hint="drop problems with long prompts or use a model with a longer context",
                )
            rows += [
                _Row(place, i, prompt, sample_seed(self.settings.seed, request.problem_id, i)) for i in request.indices
            ]
        return rows

    def _sample_batch(self, batch: Sequence[_Row], requests: Sequence[Request]) -> list[SampledResponse]:
        try:
            with torch.inference_mode():
                made = self._generate(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            torch.cuda.empty_cache()
            half = len(batch) // 2
            return self._sample_batch(batch[:half], requests) + self._sample_batch(batch[half:], requests)
        texts = response_texts(self.tokenizer, [without_end_token(m.token_ids, self.end_ids) for m in made])
        return [
            SampledResponse(
                problem_id=requests[row.request].problem_id,
                index=row.index,
                text=text,
                token_ids=tuple(m.token_ids),
                prompt_tokens=len(row.prompt),
                truncated=m.token_ids[-1] not in self.end_ids,
                logprob=m.logprob,
                entropy=m.entropy,
                prompt_end=prompt_end(self.tokenizer, row.prompt),
            )
            for row, m, text in zip(batch, made, texts, strict=True)
        ]

    def _generate(self, batch: Sequence[_Row]) -> list["_Made"]:
        """Rounds of `generate`; after each, the rows that have ended leave and the others go on with their cache.

        A row's limit is its own: a longer prompt beside it takes none of its room.
        """
        device = self.model.device
        ids, mask = self._pad([row.prompt for row in batch])
        seeds = torch.tensor([row.seed for row in batch], device=device)
        rooms = [min(self.settings.max_completion_length, self.max_positions - len(row.prompt)) for row in batch]
        limits = torch.tensor(rooms, device=device)
        made = [_Made() for _ in batch]
        alive = torch.arange(len(batch), device=device)
        shrink = not getattr(self.model, "_is_stateful", False)  # a recurrent state has no rows to select
        cache: Any = None
        steps = 0
        while len(alive):
            rest = limits[alive] - steps
            most = int(rest.min() if shrink else rest.max())
            drawing = SeededDraw(seeds[alive], self.settings.temperature, self.settings.top_p, first_step=steps)
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                **{_CACHE: cache},
                max_new_tokens=most,
                logits_processor=[drawing],
                stopping_criteria=[_HalfEnded(self.end_ids, device)] if shrink and len(alive) > _FEW_ROWS else None,
                return_dict_in_generate=True,
            )
            new = out.sequences[:, ids.shape[1] :]
            steps += new.shape[1]
            lengths = torch.minimum(ended_after(new, self.end_ids), rest)
            _record(made, alive.tolist(), new, lengths, drawing)
            keep = (lengths > new.shape[1]).nonzero().squeeze(-1)
            if not len(keep):
                break
            cache = getattr(out, _CACHE)
            cache.batch_select_indices(keep)
            ids, alive = out.sequences[keep], alive[keep]
            mask = torch.cat([mask[keep], mask.new_ones(len(keep), new.shape[1])], -1)
        return made

    def _pad(self, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """(B, T) ids and mask, padded on the left."""
        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        return ids, mask


class _Made:
    """What one row has emitted so far."""

    __slots__ = ("entropies", "logprobs", "token_ids")

    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self.logprobs = 0.0
        self.entropies = 0.0

    @property
    def logprob(self) -> float:
        return self.logprobs

    @property
    def entropy(self) -> float:
        return self.entropies / len(self.token_ids)


class _HalfEnded(StoppingCriteria):
    """Ends a round when half of its rows have emitted an end token."""

    def __init__(self, end_ids: Sequence[int], device: Any) -> None:
        self.end_ids = torch.tensor(end_ids, device=device)
        self.ended: Tensor | None = None

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        last = torch.isin(input_ids[:, -1], self.end_ids)
        self.ended = last if self.ended is None else self.ended | last
        return (self.ended.sum() * 2 >= len(last)).expand(len(last))


def make_batches(
    rows: Sequence[_Row], settings: SamplingSettings, max_positions: int = 1 << 30
) -> Iterator[list[_Row]]:
    """Rows sorted by prompt length, longest first (memory runs out early or never), cut where a bound is reached."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda r: (-len(r.prompt), r.request, r.index)):
        widest = len(batch[0].prompt) if batch else len(row.prompt)
        longest = min(widest + settings.max_completion_length, max_positions)
        full = (len(batch) + 1) * longest > settings.batch_tokens
        if batch and (full or len(batch) == settings.batch_rows):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def plan_batches(
    requests: Sequence[Request],
    prompts: Sequence[list[int]],
    settings: SamplingSettings,
    max_positions: int,
    ranks: int,
) -> list[list[tuple[int, int, int]]]:
    """Return the batches that one process would draw, each as (place of a request, first index, how many).

    Ranks that take them whole draw the same responses bit by bit, however many there are. Where there are fewer
    batches than ranks, they are cut, and a response may differ where rounding decides a token.
    """
    rows = [
        _Row(place, index, prompt, 0)
        for place, (request, prompt) in enumerate(zip(requests, prompts, strict=True))
        for index in request.indices
    ]
    batches = list(make_batches(rows, settings, max_positions))
    if len(batches) < ranks:
        parts = -(-ranks // max(1, len(batches)))
        batches = [part for batch in batches for part in _cut(batch, parts)]
    return [_as_parts(batch) for batch in batches]


def _cut(batch: list[_Row], parts: int) -> list[list[_Row]]:
    """Return a batch in at most `parts` pieces of nearly one size."""
    parts = min(parts, len(batch))
    bounds = [len(batch) * number // parts for number in range(parts + 1)]
    return [batch[start:end] for start, end in pairwise(bounds)]


def _as_parts(batch: Sequence[_Row]) -> list[tuple[int, int, int]]:
    """Return a batch's rows as runs of adjacent indices of one request, in order."""
    parts: list[tuple[int, int, int]] = []
    for row in batch:
        place, first, count = parts[-1] if parts else (-1, 0, 0)
        if row.request == place and row.index == first + count:
            parts[-1] = (place, first, count + 1)
        else:
            parts.append((row.request, row.index, 1))
    return parts


def ended_after(new: Tensor, end_ids: Sequence[int]) -> Tensor:
    """(B,) tokens of each row up to and with its first end token; T + 1 where there is none. `new` is (B, T)."""
    is_end = torch.isin(new, torch.tensor(end_ids, device=new.device))
    first = is_end.int().argmax(-1) + 1
    return torch.where(is_end.any(-1), first, new.shape[1] + 1)


def _record(made: list[_Made], places: list[int], new: Tensor, lengths: Tensor, drawing: SeededDraw) -> None:
    kept = torch.arange(new.shape[1], device=new.device) < lengths.unsqueeze(-1)  # (B, T)
    logprobs = drawing.logprob.masked_fill(~kept, 0.0).double().sum(-1).tolist()
    entropies = drawing.entropy.masked_fill(~kept, 0.0).double().sum(-1).tolist()
    for place, ids, length, logprob, entropy in zip(
        places, new.tolist(), lengths.tolist(), logprobs, entropies, strict=True
    ):
        made[place].token_ids += ids[:length]
        made[place].logprobs += logprob
        made[place].entropies += entropy


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every end token that the model's generation settings or its tokenizer name."""
    named = model.generation_config.eos_token_id
    ids = set(named if isinstance(named, list) else [] if named is None else [named])
    return sorted(ids | {tokenizer.eos_token_id})
