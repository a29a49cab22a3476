"""The verifier `reward-model`: a classifier of sequences in this process, which scores waiting responses in batches.

A response waits a moment for others, then all that wait are sorted by length and scored batch by batch, padded on the
right. Each process of a launch scores its own responses, on its own GPU where there is one.
"""

import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import exp, isfinite

from ringlite_cli.chat.judged import TEMPLATE_HINT, asked_of, judged_ids, template_fault
from ringlite_cli.errors import RingliteError, UserError, first_line
from ringlite_cli.memory.rows import scoring_bytes
from ringlite_cli.models.reward_model import load_reward_model, reward_model_size, usable_positions
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.judge import scored

GATHER = 0.01
"""Seconds that a response waits for another one to be scored with it."""
_MOST = 4096  # responses that are gathered
_CPU_TOKENS = 8192
_GPU_TOKENS = 65_536
_SHARE = 0.5  # of the free memory of a GPU that a batch may take
_OPEN_LENGTH = 1_000_000  # tokenizers give such a number where they know no longest text


@dataclass(frozen=True, slots=True)
class Scored:
    """A sequence's score before the sigmoid; and whether its end was cut off, for want of positions."""

    logit: float
    cut: bool = False

    @property
    def reward(self) -> float:
        """The score between 0 and 1."""
        bounded = max(-700.0, min(700.0, self.logit))
        return 1 / (1 + exp(-bounded))


def device_here(asked: str = "auto") -> str:
    """Return the device of this process: a launch gives each rank a GPU of its own."""
    import torch

    if asked == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def gpu_bytes(name: str, device: str, longest: int) -> int:
    """Return what a reward model takes of this process's GPU, with a text of full length; 0 where it is not on one."""
    if device_here(device) == "cpu":
        return 0
    size, config, width = reward_model_size(name)
    return size + scoring_bytes(config.get_text_config(), width) * longest


class RewardModel:
    """A loaded reward model. Not thread-safe: one thread scores."""

    def __init__(self, name: str, device: str = "cpu", *, batch_tokens: int | None = None) -> None:
        """batch_tokens: tokens of a padded batch at most; default: by the memory that is free."""
        self.name, self.device = name, device
        self._network, self.tokenizer = load_reward_model(name, device)
        if fault := template_fault(self.tokenizer):
            raise UserError(fault, where=f"rewards.reward_model: {name}", hint=TEMPLATE_HINT)
        self._text = self._network.config.get_text_config()
        self._batch_tokens = batch_tokens or self._that_fit()
        self.batches: list[tuple[int, int]] = []  # rows and padded length of each forward pass of the last call

    @property
    def longest(self) -> int | None:
        """The tokens that a text may have; None without bound."""
        known = self.tokenizer.model_max_length
        positions = usable_positions(self._network) or getattr(self._text, "max_position_embeddings", None)
        bounds = (positions, known if known < _OPEN_LENGTH else None)
        return min((bound for bound in bounds if bound), default=None)

    def ids(self, asked: Sequence[Mapping[str, str]], response: str) -> list[int]:
        """Return the tokens of a response with what it was asked. Raises UserError where the template refuses it."""
        return judged_ids(self.tokenizer, asked, response)

    def scores(self, sequences: Sequence[Sequence[int]]) -> list[Scored]:
        """Return the score of each text. Raises MemoryError where a single one does not fit."""
        longest = self.longest
        cut = [list(ids[:longest]) for ids in sequences]
        if empty := sum(not ids for ids in cut):
            raise ValueError(f"{empty} texts without a token")
        found: dict[int, float] = {}
        self.batches = []
        for rows in batches([len(ids) for ids in cut], self._batch_tokens):
            found.update(zip(rows, self._pass([cut[i] for i in rows]), strict=True))
        return [Scored(found[i], len(cut[i]) < len(sequences[i])) for i in range(len(cut))]

    def _pass(self, rows: list[list[int]]) -> list[float]:
        """One forward pass; in halves where the memory is too small for it."""
        import torch

        try:
            return self._forward(rows)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        if len(rows) == 1:
            raise MemoryError(f"a text of {len(rows[0]):,} tokens does not fit the memory of {self.device}")
        self._batch_tokens = max(1, len(rows) // 2 * max(map(len, rows)))
        half = len(rows) // 2
        return self._pass(rows[:half]) + self._pass(rows[half:])

    def _forward(self, rows: list[list[int]]) -> list[float]:
        import torch

        longest = max(map(len, rows))
        own = self._text.pad_token_id
        pad = own if own is not None and own >= 0 else _no_end_of(rows)
        ids = torch.full((len(rows), longest), pad)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        self._text.pad_token_id = pad
        try:
            with torch.inference_mode():
                logits = self._network(
                    input_ids=ids.to(self.device), attention_mask=mask.to(self.device), **self._without_cache()
                ).logits
        finally:
            self._text.pad_token_id = own
        self.batches.append((len(rows), longest))
        return [float(x) for x in logits.float().reshape(len(rows), -1)[:, 0].tolist()]

    def _without_cache(self) -> dict[str, bool]:
        return {"use_cache": False} if hasattr(self._text, "use_cache") else {}

    def _that_fit(self) -> int:
        """Tokens of a batch that the device has room for."""
        import torch

        if not self.device.startswith("cuda"):
            return _CPU_TOKENS
        free, _ = torch.cuda.mem_get_info(self.device)
        width = 4 if self._network.dtype == torch.float32 else 2
        return max(1, min(_GPU_TOKENS, int(_SHARE * free) // max(1, scoring_bytes(self._text, width))))


def batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Yield the places of texts, those of like length together, so that no padded batch has more tokens than allowed.

    A text that is longer than that is a batch by itself.

    >>> list(batches([3, 9, 2, 3], 9))
    [[2, 0, 3], [1]]
    """
    rows: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if rows and (len(rows) + 1) * lengths[place] > most_tokens:
            yield rows
            rows = []
        rows.append(place)
    if rows:
        yield rows


def _no_end_of(rows: Sequence[Sequence[int]]) -> int:
    """A token that no text ends with: a model without a pad token finds a text's end by it."""
    ends = {row[-1] for row in rows}
    return next(i for i in range(len(ends) + 1) if i not in ends)


_Job = tuple[Problem, str, "Future[Verdict]"]


class RewardModelScorer:
    """Scores responses as they are submitted, from any thread; the model is loaded with the first."""

    def __init__(self, name: str, device: str = "auto") -> None:
        self._name, self._device = name, device
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._model: RewardModel | None = None
        self.passes: list[int] = []  # rows of each forward pass so far

    def submit(self, problem: Problem, response: str) -> "Future[Verdict]":
        """Return the verdict on its way. The future raises UserError where the model is none."""
        future: Future[Verdict] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the reward model is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="reward-model", daemon=True)
                self._thread.start()
            self._jobs.put((problem, response, future))
        return future

    def close(self) -> None:
        """Score no more; responses that still wait get the verdict `error`."""
        with self._lock:
            self._closed = True
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        self._model = None

    def _work(self) -> None:
        while (jobs := self._waiting()) is not None:
            mine = [job for job in jobs if job[2].set_running_or_notify_cancel()]
            if not mine:
                continue
            if self._closed:
                _answer(mine, [Verdict("error", 0.0, 0.0, "the reward model was closed")] * len(mine))
                continue
            try:
                _answer(mine, self._verdicts([(problem, response) for problem, response, _ in mine]))
            except RingliteError as error:
                for *_, future in mine:
                    future.set_exception(error)
            except Exception as error:  # of the model, on this batch: ours, and no opinion on a response
                said = Verdict("error", 0.0, 0.0, f"reward model: {type(error).__name__}: {first_line(error)}")
                _answer(mine, [said] * len(mine))

    def _waiting(self) -> list[_Job] | None:
        """The next responses, once no further one comes for a moment; None at the end."""
        first = self._jobs.get()
        jobs = [first] if first is not None else []
        while first is not None and len(jobs) < _MOST:
            try:
                job = self._jobs.get(timeout=GATHER)
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs or None

    def _verdicts(self, asked: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        started = time.monotonic()
        if self._model is None:
            self._model = RewardModel(self._name, device_here(self._device))
        texts: dict[tuple[int, ...], None] = {}  # each once: equal texts have one score
        own: list[tuple[int, ...] | str] = []
        for problem, response in asked:
            try:
                own.append(tuple(self._model.ids(asked_of(problem), response)))
                texts[own[-1]] = None  # type: ignore[index]
            except UserError as error:  # the template refuses this conversation
                own.append(error.what)
        found = dict(zip(texts, self._model.scores(list(texts)), strict=True))
        self.passes += [rows for rows, _ in self._model.batches]
        seconds = (time.monotonic() - started) / len(asked)
        return [
            Verdict("error", 0.0, seconds, f"reward model: {key}")
            if isinstance(key, str)
            else _said(found[key], seconds)
            for key in own
        ]


def _said(score: Scored, seconds: float) -> Verdict:
    if not isfinite(score.logit):
        return Verdict("error", 0.0, seconds, f"reward model: the score is {score.logit}")
    verdict = scored(score.reward, "model")
    cut = ", the end of the response was cut off" if score.cut else ""
    return Verdict(verdict.verdict, verdict.reward, seconds, verdict.detail + cut)


def _answer(jobs: Sequence[_Job], verdicts: Sequence[Verdict]) -> None:
    for (*_, future), verdict in zip(jobs, verdicts, strict=True):
        future.set_result(verdict)
