"""Asks a model for responses to problems and has them verified: shown before it starts, and resumable response by
response from `asked.jsonl` (verified) and `answers.jsonl` (not yet).
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.data.unverified import UnverifiedResponses
from ringlite_cli.problems import VERDICT_REVISION, Problem, Verdict, Verify, chat_messages
from ringlite_cli.recipe.schema import Responder
from ringlite_cli.runs.files import MetricsWriter, read_jsonl
from ringlite_cli.samples import TOO_LONG, Keeping, OnDone, OnProgress, Request, SampledResponse, Sampler, without_room
from ringlite_cli.thoughts import opened_thought, tags_of, with_thought

OpenSampler = Callable[[Responder], Sampler]
CHARACTERS_PER_TOKEN = 3.5  # of English and LaTeX, for estimates alone
_GROUPS = 32  # problems whose responses are verified and written together


@dataclass(frozen=True, slots=True)
class Response:
    """One verified response to a problem."""

    text: str
    reward: float
    verdict: str
    truncated: bool


def is_too_long(responses: Sequence[Response]) -> bool:
    """Return whether a problem's prompt left no room for a response, so that it could not be asked."""
    return bool(responses) and all(response.verdict == TOO_LONG for response in responses)


@dataclass
class Asking:
    """How models are asked in a run: the sampler that a responder stands for, the verifiers, and where it is logged.

    report: told each estimate and result, a line each.   progress: told how far a model is.
    """

    open_sampler: OpenSampler
    verify: Verify
    folder: Path
    suffix: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = print
    progress: Callable[[str, Any], None] | None = None
    unverified: UnverifiedResponses = field(init=False)

    def __post_init__(self) -> None:
        self.unverified = UnverifiedResponses(self.folder / "answers.jsonl")

    @property
    def path(self) -> Path:
        return self.folder / "asked.jsonl"

    def ask(self, rows: Sequence[CuratedRow], responder: Responder, k: int, purpose: str) -> list[list[Response]]:
        """Return k responses to each row's problem, in order; ask only for those that the logs lack.

        Raises what the sampler raises; all that was answered by then is in the logs.
        """
        known = self._known(responder)
        keys = [_key(responder, r.problem, self.suffix, purpose) for r in rows]
        todo = [i for i, key in enumerate(keys) if len(known[key]) < k]
        self.report(estimate(len(rows), [rows[i].problem for i in todo], responder, k, purpose))
        if todo:
            self._run(rows, todo, keys, responder, k, purpose)
            known = self._known(responder)
        if long := sum(is_too_long(known[key]) for key in keys):
            self.report(f"{purpose}: {long:,} of {len(rows):,} prompts leave {responder.name} no room for a response")
        return [known[key][:k] for key in keys]

    def _run(
        self,
        rows: Sequence[CuratedRow],
        todo: Sequence[int],
        keys: Sequence[str],
        responder: Responder,
        k: int,
        purpose: str,
    ) -> None:
        row_of = {keys[i]: rows[i] for i in todo}
        requests = [Request(key, chat_messages(row.problem, self.suffix), k) for key, row in row_of.items()]
        waiting: list[list[SampledResponse]] = []
        on_progress: OnProgress | None = None
        if tell := self.progress:
            on_progress = lambda state: tell(responder.name, state)  # noqa: E731
        with MetricsWriter(self.path) as log:

            def write() -> None:
                self._verify_and_write([(row_of[g[0].problem_id], g) for g in waiting], responder, log, purpose)
                self.unverified.drop(sample for group in waiting for sample in group)
                waiting.clear()

            def on_done(request: Request, samples: list[SampledResponse]) -> None:
                self.unverified.keep(sample for sample in samples if not sample.refused)
                waiting.append(samples)
                if len(waiting) >= _GROUPS:
                    write()

            try:
                left = []
                for request in requests:
                    if whole := self.unverified.all_of(request):
                        on_done(request, whole)
                    else:
                        left.append(request)
                if left:
                    self._sample(left, responder, on_done, on_progress)
            finally:
                write()

    def _sample(
        self, requests: Sequence[Request], responder: Responder, on_done: OnDone, on_progress: OnProgress | None
    ) -> None:
        sampler = self.open_sampler(responder)
        if isinstance(sampler, Keeping):
            sampler.unverified = self.unverified
        try:
            long = without_room(requests, sampler, answered=bool(self._known(responder)))
            for request in (request for request in requests if request.problem_id in long):
                name, tokens = request.problem_id, long[request.problem_id]
                on_done(
                    request,
                    [
                        SampledResponse(name, n, "", (), tokens, False, refused=TOO_LONG)
                        for n in range(request.num_generations)
                    ],
                )
            sampler.sample([each for each in requests if each.problem_id not in long], on_done, on_progress)
        finally:
            sampler.close()

    def _verify_and_write(
        self,
        groups: Sequence[tuple[CuratedRow, list[SampledResponse]]],
        responder: Responder,
        log: MetricsWriter,
        purpose: str,
    ) -> None:
        pairs = [(row.problem, sample) for row, samples in groups for sample in samples]
        tags = tags_of(self.verify)
        opened = [opened_thought(sample.prompt_end, tags) for _, sample in pairs]
        texts = [with_thought(sample.text, tag) for (_, sample), tag in zip(pairs, opened, strict=True)]
        asked = [(problem, text) for (problem, sample), text in zip(pairs, texts, strict=True) if not sample.refused]
        found = iter(self.verify(asked) if asked else [])
        verdicts = [Verdict(s.refused, 0.0) if s.refused else next(found) for _, s in pairs]
        log.extend(
            {
                "key": sample.problem_id,
                "model": responder.name,
                "purpose": purpose,
                "source": problem.source,
                "index": problem.index,
                "sample": sample.index,
                "response": text,
                "verdict": verdict.verdict,
                "reward": verdict.reward,
                "revision": VERDICT_REVISION,
                "truncated": sample.truncated,
            }
            for (problem, sample), text, verdict in zip(pairs, texts, verdicts, strict=True)
        )

    def _known(self, responder: Responder) -> defaultdict[str, list[Response]]:
        """The responses in the log by key, in order; one that was asked for twice (for a larger k) counts once."""
        last = {(row["key"], row["sample"]): row for row in read_jsonl(self.path) if row["model"] == responder.name}
        known: defaultdict[str, list[Response]] = defaultdict(list)
        for key, sample in sorted(last):
            row = last[key, sample]
            known[key].append(Response(row["response"], row["reward"], row["verdict"], row["truncated"]))
        return known


def _key(responder: Responder, problem: Problem, suffix: Mapping[str, str], purpose: str) -> str:
    """Return what a response depends on; a change of any of it asks anew."""
    fixed = responder.model_dump(include={"path", "endpoint", "model", "dtype", "temperature", "top_p"})
    parts = [
        fixed | {"max_new_tokens": responder.max_completion_length},  # by the name that logs of earlier versions have
        chat_messages(problem, suffix),
        problem.answer,
        problem.tests,
        purpose,
    ]
    if responder.chat_template_kwargs:
        parts.append(responder.chat_template_kwargs)
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def estimate(all_rows: int, todo: Sequence[Problem], responder: Responder, k: int, purpose: str) -> str:
    """Return what asking will take, as a line for the user, before it starts."""
    prompt = sum(len(p.prompt) for p in todo) / CHARACTERS_PER_TOKEN * k
    most = len(todo) * k * responder.max_completion_length
    line = f"{purpose}: {len(todo):,} of {all_rows:,} problems x {k} responses of {responder.name}"
    line += f": {prompt:,.0f} prompt tokens, at most {most:,} response tokens"
    price = (prompt * responder.price_in + most * responder.price_out) / 1e6
    return line + (f", at most {price:,.2f} in price" if price else "")
