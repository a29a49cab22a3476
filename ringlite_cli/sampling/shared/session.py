"""The first rank's part: it deals responses out to the helpers of all ranks, and gathers what they draw."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.files import write_json, write_text
from ringlite_cli.runs.ranks import rank, world_size
from ringlite_cli.samples import OnDone, OnProgress, Progress, Request, SampledResponse, SamplingSettings
from ringlite_cli.sampling.load import load_config, load_tokenizer, positions_of
from ringlite_cli.sampling.opening import chosen
from ringlite_cli.sampling.shared.answers import AnswerReader, earlier_answers, lacking, sample_of
from ringlite_cli.sampling.shared.child import Child, gpus_of_rank
from ringlite_cli.sampling.shared.failures import raise_failures
from ringlite_cli.sampling.shared.files import files_digest, policy_key
from ringlite_cli.sampling.shared.helper import ENDED, SESSION, job_folder
from ringlite_cli.sampling.shared.job import (
    OVER,
    Asked,
    Atom,
    JobHead,
    cut_units,
    messages_digest,
    single_atoms,
    write_job,
)
from ringlite_cli.sampling.shared.watch import Watch

FOLDER = ".drawing"
_POLL = 0.1  # seconds

Call = Callable[[str], None]
"""Brings the other ranks into the session of this name."""


def has_drawn(stage: Path) -> bool:
    """Return whether an earlier launch of several ranks left answers of a stage that are not in its results yet."""
    return any((stage / FOLDER).glob("*/*/answers-*.jsonl"))


@contextmanager
def open_session(stage: Path, engine: Engine, call: Call) -> Iterator["Session"]:
    """Let all ranks of the launch draw in this block; keep what they drew only where the block fails."""
    session = Session(stage, engine, call)
    try:
        yield session
    except BaseException:
        session.end(grace=0)
        raise
    session.end()
    session.check_files()
    shutil.rmtree(stage / FOLDER, ignore_errors=True)


class Session:
    """One launch's work in one stage. Helpers start with the first job."""

    def __init__(self, stage: Path, engine: Engine, call: Call) -> None:
        self.drawing = stage / FOLDER
        self.folder = self.drawing / uuid4().hex[:12]
        self.ranks = max(1, world_size() // (engine.tensor_parallel_size if chosen(engine) == "vllm" else 1))
        # Without numbers of its own a response would depend on which others its rank draws
        self.engine = engine.model_copy(update={"seeded": True})
        self._call, self._jobs = call, 0
        self._child: Child | None = None
        self._watch = Watch(self.folder)

    def open(
        self, policy: Path | str, settings: SamplingSettings, dtype: str, row_tokens: int | None
    ) -> "SharedSampler":
        """Return a policy that all ranks draw from. row_tokens: as in JobHead."""
        return SharedSampler(self, policy, settings, dtype, row_tokens)

    def deal(self, head: JobHead, asked: Sequence[Asked], atoms: Sequence[Atom]) -> Path:
        """Write the next job; return its folder."""
        if self._child is None:
            self._start()
        self._jobs += 1
        folder = job_folder(self.folder, self._jobs)
        write_job(folder, head, asked, cut_units(atoms, self.ranks))
        return folder

    def check(self, job: Path) -> None:
        """Raise what a helper failed with, and WorkFailed where one is gone."""
        raise_failures(job)
        raise_failures(self.folder)
        if self._child is not None:
            self._child.check()
        self._watch.check()

    def end(self, grace: float = 20.0) -> None:
        """End the helpers, and wait until their GPUs are free."""
        if self._child is None:
            return
        with suppress(OSError):
            write_text(self.folder / ENDED, "")
        self._child.end(grace)
        self._watch.wait_for_ends(grace)

    def check_files(self) -> None:
        """Raise WorkFailed where a rank saw other files of a policy, also one that came too late to draw from it."""
        for number in range(1, self._jobs + 1):
            raise_failures(job_folder(self.folder, number), only_files=True)

    def _start(self) -> None:
        leads, gpus = gpus_of_rank(self.engine)
        if not leads:
            raise UserError(
                f"{self.engine.tensor_parallel_size} GPUs are asked for, and fewer are here",
                where="engine.tensor_parallel_size",
            )
        self.folder.mkdir(parents=True)
        write_json(self.folder / SESSION, {"engine": self.engine.model_dump(mode="json"), "ranks": self.ranks})
        self._child = Child(self.folder, rank(), gpus)
        if world_size() > 1:
            self._call(self.folder.name)


class SharedSampler:
    """A policy that all ranks draw from: a Sampler. Its samples carry no token ids, and entropy where it was asked for.

    max_positions: tokens of prompt and response that the engine takes.
    """

    def __init__(
        self, session: Session, policy: Path | str, settings: SamplingSettings, dtype: str, row_tokens: int | None
    ) -> None:
        self.settings, self._session, self._policy = settings, session, policy
        self.tokenizer = load_tokenizer(policy)
        config = load_config(policy)
        self._batches = chosen(session.engine) == "transformers"
        if self._batches:
            self.max_positions = positions_of(config)
        else:
            from ringlite_cli.sampling.vllm_sampler import longest_sequence

            self.max_positions = longest_sequence(config, session.engine, settings)
        self._head = JobHead(
            kind="draw",
            policy=str(policy),
            dtype=dtype,
            settings=settings,
            row_tokens=row_tokens,
            files=files_digest(policy),
            key=self._key(dtype, row_tokens is not None),
        )

    def prompt_ids(self, request: Request) -> list[int]:
        return prompt_ids(self.tokenizer, request.messages)

    def sample(
        self, requests: Sequence[Request], on_done: OnDone | None = None, progress: OnProgress | None = None
    ) -> list[list[SampledResponse]]:
        """See Sampler.sample. Raises what a rank's engine raises, and WorkFailed where a rank is gone."""
        gathered = _Gathered(requests, on_done, progress)
        known = earlier_answers(self._session.drawing, self._head.key)
        asked: list[Asked] = []
        for request in requests:
            of_request = known.get((request.problem_id, messages_digest(request)), {})
            parts = lacking(request, of_request)
            gathered.take(of_request[index] for index in request.indices if index in of_request)
            asked += [Asked(part) for part in parts]
        if asked:
            self._gather(self._head, asked, self._atoms([each.request for each in asked]), gathered)
        return gathered.samples

    def forced(
        self, traces: Sequence[tuple[Request, str]], *, row_tokens: int, thinking: Any
    ) -> list[tuple[float, float, int]]:
        """Return what `forced_scores` returns, computed by all ranks."""
        found: dict[str, tuple[float, float, int]] = {}

        class Scores:
            def take(self, rows: Any) -> None:
                found.update({row["problem_id"]: tuple(row["scores"]) for row in rows})

            @property
            def is_whole(self) -> bool:
                return len(found) == len(traces)

        asked = [Asked(request, trace) for request, trace in traces]
        head = replace(self._head, kind="force", row_tokens=row_tokens, thinking=thinking, key="")
        atoms = [[(place, each.request.first, each.request.num_generations)] for place, each in enumerate(asked)]
        self._gather(head, asked, atoms, Scores())
        return [found[request.problem_id] for request, _ in traces]

    def close(self) -> None:
        """Nothing to free here: helpers change to the next policy, or end with the session."""

    def _gather(self, head: JobHead, asked: Sequence[Asked], atoms: Sequence[Atom], gathered: Any) -> None:
        folder = self._session.deal(head, asked, atoms)
        reader = AnswerReader(folder)
        try:
            while not gathered.is_whole:
                gathered.take(reader.new())
                self._session.check(folder)
                if not gathered.is_whole:
                    time.sleep(_POLL)
        finally:
            with suppress(OSError):
                write_text(folder / OVER, "")
            gathered.take(reader.new())

    def _atoms(self, requests: Sequence[Request]) -> list[Atom]:
        if not self._batches:
            return single_atoms([Asked(request) for request in requests], self._session.ranks)
        from ringlite_cli.sampling.transformers_sampler import plan_batches

        prompts = [self.prompt_ids(request) for request in requests]
        return plan_batches(requests, prompts, self.settings, self.max_positions, self._session.ranks)

    def _key(self, dtype: str, scored: bool) -> str:
        given = self.settings
        settings = [given.max_completion_length, given.temperature, given.top_p, given.seed]
        parts = [policy_key(self._policy), settings, dtype, chosen(self._session.engine), scored]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class _Gathered:
    """The samples that have come, handed on request by request."""

    def __init__(self, requests: Sequence[Request], on_done: OnDone | None, progress: OnProgress | None) -> None:
        self._requests, self._on_done, self._progress = requests, on_done, progress
        self._places = {request.problem_id: place for place, request in enumerate(requests)}
        self.samples: list[list[SampledResponse]] = [[] for _ in requests]
        self._done, self._total, self._tokens = 0, sum(r.num_generations for r in requests), 0
        self._started = time.monotonic()

    @property
    def is_whole(self) -> bool:
        return self._done == self._total

    def take(self, rows: Any) -> None:
        """Take rows of answers, and report how far all ranks are."""
        came = 0
        for sample in map(sample_of, rows):
            place = self._places[sample.problem_id]
            group, request = self.samples[place], self._requests[place]
            group.append(sample)
            came, self._tokens = came + 1, self._tokens + sample.tokens
            if len(group) == request.num_generations:
                group.sort(key=lambda each: each.index)
                if self._on_done:
                    self._on_done(request, group)
        self._done += came
        if self._progress and came:
            self._progress(Progress(self._done, self._total, self._tokens, time.monotonic() - self._started))
