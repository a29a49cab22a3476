"""What a helper does with a job: takes units, draws them with its engine, scores them, and writes the answers."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from ringlite_cli.samples import Request, SampledResponse
from ringlite_cli.sampling.score import forced_scores, sampled_entropy
from ringlite_cli.sampling.shared.answers import AnswerWriter, sample_row
from ringlite_cli.sampling.shared.job import Asked, Job

SCORED_TOKENS = 16384
"""Tokens of responses that are gathered before they are scored together."""
_LOOK = 1.0  # seconds between two looks at whether the job is over

Made = Sequence[tuple[Request, SampledResponse]]


class JobOver(Exception):
    """The first rank wants no more of a job whose responses are under way."""


def work(job: Job, sampler: Any, answers: AnswerWriter, ranks: int) -> None:
    """Take part in a job until nothing of it is left to take. Raises JobOver, and what the engine raises."""
    if job.head.kind == "force":
        _force(job, sampler, answers)
        return
    writer = _Scorer(job, sampler, answers)
    if hasattr(sampler, "sample_from"):
        feed = _Feed(job, min(sampler.most_at_once, ceil(job.responses / ranks)))
        sampler.sample_from(feed.take, writer.add)
    else:
        for atom in (atom for unit in job.claim() for atom in unit):
            if job.is_over:
                raise JobOver
            requests = [each.request for each in atom]
            groups = sampler.sample(requests)
            writer.add([(r, sample) for r, group in zip(requests, groups, strict=True) for sample in group])
    writer.flush()


class _Feed:
    """Units of a job for an engine that takes requests while it runs, no more at a time than a fair share."""

    def __init__(self, job: Job, room: int) -> None:
        self._job, self._room, self._looked = job, room, time.monotonic()
        self._units: Iterator[list[list[Asked]]] | None = job.claim()

    def take(self, under_way: int) -> list[Request]:
        """Return further requests where there is room. Raises JobOver."""
        if time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            if self._job.is_over:
                raise JobOver
        taken: list[Request] = []
        while self._units is not None and under_way < self._room:
            unit = next(self._units, None)
            if unit is None:
                self._units = None
                break
            requests = [each.request for atom in unit for each in atom]
            taken += requests
            under_way += sum(request.num_generations for request in requests)
        return taken


class _Scorer:
    """Writes samples, with the entropy that a forward pass gives where the job asks for it."""

    def __init__(self, job: Job, sampler: Any, answers: AnswerWriter) -> None:
        self._row_tokens, self._sampler, self._answers = job.head.row_tokens, sampler, answers
        self._waiting: list[tuple[Request, SampledResponse]] = []

    def add(self, made: Made) -> None:
        self._waiting += made
        if self._row_tokens is None or sum(sample.tokens for _, sample in self._waiting) >= SCORED_TOKENS:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        samples = [sample for _, sample in waiting]
        if self._row_tokens is not None and waiting:
            found = sampled_entropy(self._sampler, waiting, row_tokens=self._row_tokens)
            samples = [replace(sample, entropy=entropy) for sample, entropy in zip(samples, found, strict=True)]
        self._answers.write(map(sample_row, samples))


def _force(job: Job, sampler: Any, answers: AnswerWriter) -> None:
    for unit in job.claim():
        asked = [each for atom in unit for each in atom]
        traces = [(each.request, each.trace or "") for each in asked]
        rows = forced_scores(sampler, traces, row_tokens=job.head.row_tokens or 0, thinking=job.head.thinking)
        answers.write(
            {"problem_id": each.request.problem_id, "index": each.request.first, "scores": list(row)}
            for each, row in zip(asked, rows, strict=True)
        )
