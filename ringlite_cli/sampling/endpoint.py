"""A sampler behind an OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, hosted): POST {base}/chat/completions.

One request a response, several at a time; a busy or broken server is tried again with growing pauses. What is done
when it fails for good has been handed to `on_done` by then, so that the caller can go on later. A sampler that is given
`unverified` keeps every answer as it comes; a stop waits for the answers under way, and asks for no more. Without,
and at a second stop, it does not wait: the threads that ask are daemons, which Python's end leaves behind.
"""

import logging
import os
import queue
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.http_client import NoAnswer, Refused, post_json
from ringlite_cli.recipe.schema import Responder
from ringlite_cli.samples import (
    FILTERED,
    TOO_LONG,
    Memory,
    OnDone,
    OnProgress,
    Progress,
    Request,
    SampledResponse,
    SamplingSettings,
    sample_seed,
)
from ringlite_cli.sampling.endpoint_answer import busy_fault, read_answer

TRIES = 5
FIRST_PAUSE = 1.0  # seconds, doubled after each try
_LOG = logging.getLogger(__name__)
_Jobs = queue.SimpleQueue[tuple["Future[SampledResponse]", Request, int] | None]
_OVER = re.compile(
    r"context.?(?:length|size|window)|model length|prompt is too long|too many (?:input )?tokens", re.IGNORECASE
)
"""What servers say of a prompt, or of a prompt with its response, that is longer than their model takes."""
_LIMIT = re.compile(r"(?:context|model)[ _]?length(?: is| of| \()\s*(\d+)")
_ASKED = re.compile(r"(\d+)(?: tokens)? (?:in the messages|from the input messages|input tokens|in the prompt)")
_FILTER = re.compile(r"content.?(?:filter|policy|management)", re.IGNORECASE)
"""What servers say of a prompt that they answer nobody."""
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 120.0
"""Seconds that a server's Retry-After is obeyed for, at most."""


class EndpointSampler:
    """Samples from a model that a server has loaded. Samples have token ids only where it gives them (vLLM, by extras).

    extras: fields beyond OpenAI's; a server that refuses them is asked without.
    prompt_tokens, response_tokens: what the server has counted so far.
    """

    def __init__(
        self, responder: Responder, settings: SamplingSettings, *, extras: Mapping[str, Any] | None = None
    ) -> None:
        self._extras = dict(extras or {})
        self.responder, self.settings = responder, settings
        self.url = f"{(responder.endpoint or '').rstrip('/')}/chat/completions"
        self.prompt_tokens = self.response_tokens = 0
        self.unverified: Memory | None = None
        self._stopping = threading.Event()

    def sample(
        self, requests: Sequence[Request], on_done: OnDone | None = None, progress: OnProgress | None = None
    ) -> list[list[SampledResponse]]:
        """See Sampler.sample. Raises WorkFailed where the endpoint fails for good, UserError where it says no."""
        started, total, done = time.monotonic(), sum(r.num_generations for r in requests), 0
        results: list[list[SampledResponse]] = [[] for _ in requests]
        jobs = ((place, index) for place, request in enumerate(requests) for index in request.indices)
        running: dict[Future[SampledResponse], int] = {}
        self._stopping.clear()
        queued: _Jobs = queue.SimpleQueue()
        workers = min(self.responder.concurrency, total)
        for _ in range(workers):
            threading.Thread(target=self._work, args=(queued,), name="endpoint", daemon=True).start()
        try:
            while True:
                while len(running) < 2 * workers and (job := next(jobs, None)):
                    future: Future[SampledResponse] = Future()
                    running[future] = job[0]
                    queued.put((future, requests[job[0]], job[1]))
                if not running:
                    return results
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place = running.pop(future)
                    results[place].append(future.result())
                    done += 1
                    if len(results[place]) == requests[place].num_generations:
                        results[place].sort(key=lambda s: s.index)
                        if on_done:
                            on_done(requests[place], results[place])
                if progress:
                    progress(Progress(done, total, self.response_tokens, time.monotonic() - started))
        finally:
            self._stopping.set()
            for _ in range(workers):
                queued.put(None)
            under_way = [future for future in running if not future.cancel()]
            if self.unverified is not None:
                wait(under_way)

    def _work(self, queued: _Jobs) -> None:
        while job := queued.get():
            future, request, index = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._kept_or_new(request, index))
                except BaseException as error:
                    future.set_exception(error)

    def prompt_ids(self, request: Request) -> list[int]:
        raise NotImplementedError("an endpoint does not show its tokens")

    def prompt_end(self, request: Request) -> str:
        """Return the last characters of the prompt that the server renders, as far as they are known here."""
        return self.responder.thought_opened

    def close(self) -> None:
        """Nothing to free: the server keeps its model."""

    def _kept_or_new(self, request: Request, index: int) -> SampledResponse:
        if self.unverified is None:
            return self._one(request, index)
        sample = self.unverified.get(request.problem_id, index)
        if sample is None:
            sample = self._one(request, index)
            if not sample.refused:
                self.unverified.keep([sample])
        return sample

    def _one(self, request: Request, index: int) -> SampledResponse:
        try:
            return self._answered(request, index, self.settings.max_completion_length)
        except _NoRoom as error:
            if 0 < error.room < self.settings.max_completion_length:
                return self._answered(request, index, error.room)
            return SampledResponse(request.problem_id, index, "", (), 0, False, refused=TOO_LONG)
        except _Filtered:
            return SampledResponse(request.problem_id, index, "", (), 0, False, refused=FILTERED)

    def _answered(self, request: Request, index: int, max_tokens: int) -> SampledResponse:
        body: dict[str, Any] = {
            "model": self.responder.model,
            "messages": [dict(m) for m in request.messages],
            "temperature": self.settings.temperature,
            "top_p": self.settings.top_p,
            "max_tokens": max_tokens,
            "seed": sample_seed(self.settings.seed, request.problem_id, index) % 2**31,
        }
        if self.responder.chat_template_kwargs:
            body["chat_template_kwargs"] = self.responder.chat_template_kwargs
        extras = self._extras  # another request may find out first
        try:
            answer = self._post(body | extras)
        except UserError as error:
            if not extras or isinstance(error, (_NoRoom, _Filtered)):
                raise
            answer = self._post(body)  # raises the same where the extras were not to blame
            if self._extras:
                self._extras = {}
                _LOG.warning("%s knows no %s: the model's own sampling defaults may hold", self.url, ", ".join(extras))
        read = read_answer(answer, max_tokens)
        if read is None:
            raise WorkFailed(f"the endpoint's answer has no choices: {str(answer)[:200]}", where=self.url)
        self.prompt_tokens += read.prompt_tokens or 0
        self.response_tokens += read.tokens or len(read.ids)
        return SampledResponse(
            request.problem_id,
            index,
            read.text,
            read.ids,
            read.prompt_tokens or 0,
            read.truncated,
            counted=read.tokens,
            prompt_end=self.prompt_end(request),
            refused=FILTERED if read.filtered else "",
        )

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        pause, said = FIRST_PAUSE, ""
        for attempt in range(TRIES):
            if attempt:
                if self._stopping.wait(pause):
                    break
                pause = FIRST_PAUSE * 2**attempt
            try:
                return self._once(body)
            except Refused as error:
                said = str(error)
                pause = max(pause, min(error.wait or 0.0, _LONGEST_PAUSE))
                if error.code in (400, 413, 422) and _OVER.search(error.said):
                    raise _NoRoom(f"the endpoint refuses: {said}", where=self.url, room=_room(error.said)) from None
                if error.code == 400 and _FILTER.search(error.said):
                    raise _Filtered(f"the endpoint refuses: {said}", where=self.url) from None
                if error.code not in _AGAIN:
                    raise UserError(
                        f"the endpoint refuses: {said}", where=self.url, hint=self._hint(error.code)
                    ) from None
            except NoAnswer as error:
                said = str(error)
        raise WorkFailed(
            f"the endpoint failed {TRIES} times ({said})",
            where=self.url,
            hint="what was done is kept; the same command goes on once it is back",
        )

    def _once(self, body: dict[str, Any]) -> dict[str, Any]:
        key = os.environ.get(self.responder.api_key_env, "")
        answer = post_json(self.url, body, key=key, timeout=self.responder.timeout)
        if fault := busy_fault(answer):
            raise NoAnswer(fault)
        return dict(answer)

    def _hint(self, code: int) -> str:
        if code in (401, 403):
            return f"put its key into the environment variable {self.responder.api_key_env}"
        return "check endpoint (it ends in /v1) and model" if code == 404 else "check the recipe's sampling settings"


class _NoRoom(UserError):
    """The server takes no prompt of this length with so many tokens after it. room: those that would fit, if any."""

    def __init__(self, what: str, *, where: str, room: int) -> None:
        super().__init__(what, where=where, hint="ask for fewer tokens (max_completion_length)")
        self.room = room


class _Filtered(UserError):
    """The server does not answer this prompt for what it says."""


def _room(said: str) -> int:
    """The tokens that a server has left for a response, by what it says; 0 where it tells none."""
    limit, asked = _LIMIT.search(said), _ASKED.search(said)
    return max(0, int(limit[1]) - int(asked[1])) if limit and asked else 0
