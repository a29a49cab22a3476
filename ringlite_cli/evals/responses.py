"""responses.jsonl: every response with its verdict, appended problem by problem, so that a killed run goes on.

Beside it stands `resume.json`: for each (policy, task) what its responses depend on, and digests of the gold answers by
which they were verified. Rows made under other conditions (another model, k, temperature, suffix ...) are dropped when
that policy and task are opened again, and only those.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ringlite_cli.evals.overlong import failed_rows
from ringlite_cli.presence import is_there
from ringlite_cli.problems import VERDICT_REVISION, Problem, Verdict, Verify, chat_messages
from ringlite_cli.recipe.renamed import with_new_names
from ringlite_cli.runs.files import MetricsWriter, cut_jsonl, read_json, read_jsonl, write_json, write_jsonl
from ringlite_cli.runs.stopping import stop_after
from ringlite_cli.samples import REFUSALS, OnProgress, Request, SampledResponse, Sampler, without_room
from ringlite_cli.thoughts import opened_thought, tags_of, with_thought

ResponseRow = dict[str, Any]
Group = list[ResponseRow]
"""The k rows of one problem."""

EntropyOf = Callable[[Sampler, Sequence[tuple[Request, SampledResponse]]], list[float]]
"""Mean entropy of each response, in nats per token at temperature 1 over the full distribution."""

GOLDS = "golds"  # the key of resume.json that is no policy's
_SCORED_TOKENS = 16384  # responses gathered before they are scored together


class ResponseLog:
    """The responses of a stage, in one file; whole problems only."""

    def __init__(self, folder: Path, *, resume: bool = True) -> None:
        self.path, self._keys_path = folder / "responses.jsonl", folder / "resume.json"
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            self.path.unlink(missing_ok=True)
            self._keys_path.unlink(missing_ok=True)
        self._keys = read_json(self._keys_path) if is_there(self._keys_path) else {}
        self._groups: dict[tuple[str, str, str], Group] = {}
        for row in read_jsonl(self.path):
            self._groups.setdefault((row["policy"], row["task"], row["id"]), []).append(row)
        self._writer = MetricsWriter(self.path)

    def open(
        self, policy: str, task: str, problems: Sequence[Problem], k: int, key: Mapping[str, Any]
    ) -> list[Problem]:
        """The problems that still need responses, after dropping rows made under other conditions or not whole."""
        wanted = {p.id: p.prompt for p in problems}
        name, same_key = f"{policy}/{task}", json.loads(json.dumps(dict(key)))
        old = with_new_names(self._keys.get(name) or {})
        valid = is_same_key(old, same_key)
        stale = {
            (owner, of, problem)
            for (owner, of, problem), group in self._groups.items()
            if (owner, of) == (policy, task)
            and not (valid and wanted.get(problem) == group[0]["prompt"] and len(group) == k)
        }
        self._drop(stale)
        if valid and any((owner, of) == (policy, task) for owner, of, _ in self._groups):
            same_key["model"] = old.get("model")  # what is kept was drawn from that
        self._keys[name] = same_key
        write_json(self._keys_path, self._keys)
        return [p for p in problems if (policy, task, p.id) not in self._groups]

    def append(self, groups: Sequence[Group]) -> None:
        for group in groups:
            self._groups[(group[0]["policy"], group[0]["task"], group[0]["id"])] = group
        self._writer.extend(row for group in groups for row in group)

    def groups(self, policy: str, task: str, problems: Sequence[Problem]) -> list[Group]:
        """The rows of each problem, in the problems' order."""
        return [self._groups[(policy, task, p.id)] for p in problems if (policy, task, p.id) in self._groups]

    def replace(self, rows: Sequence[ResponseRow]) -> None:
        """Put rows in the place of those of the same problems, in one step: a kill loses none."""
        if not rows:
            return
        made: dict[tuple[str, str, str], Group] = {}
        for row in rows:
            made.setdefault((row["policy"], row["task"], row["id"]), []).append(row)
        self._groups |= made
        self._writer.close()
        write_jsonl(self.path, (row for group in self._groups.values() for row in group))
        self._writer = MetricsWriter(self.path)

    def golds(self, policy: str, task: str) -> dict[str, str]:
        """Return problem id -> digest of what its responses were verified by, as far as it is known."""
        return dict(self._keys.get(GOLDS, {}).get(f"{policy}/{task}", {}))

    def keep_golds(self, policy: str, task: str, golds: Mapping[str, str]) -> None:
        """Remember what all responses of a task are verified by."""
        self._keys.setdefault(GOLDS, {})[f"{policy}/{task}"] = dict(golds)
        write_json(self._keys_path, self._keys)

    def has_some(self, policy: str) -> bool:
        """Return whether any problem of any task has its rows of this policy."""
        return any(owner == policy for owner, _, _ in self._groups)

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> "ResponseLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self, stale: set[tuple[str, str, str]]) -> None:
        if not stale:
            return
        self._writer.close()
        cut_jsonl(self.path, lambda row: (row["policy"], row["task"], row["id"]) not in stale)
        self._writer = MetricsWriter(self.path)
        for name in stale:
            del self._groups[name]


def renew_verdicts(log: ResponseLog, policy: str, tasks: Mapping[str, Sequence[Problem]], verify: Verify) -> None:
    """Verify logged responses again whose problem has another gold answer, tests or verifier by now.

    What was logged by versions that did not keep the digests of gold answers stays as it is.
    """
    for task, problems in tasks.items():
        golds = {problem.id: gold_digest(problem) for problem in problems}
        before = log.golds(policy, task)
        changed = [p for p in problems if before.get(p.id, golds[p.id]) != golds[p.id]]
        pairs = [(p, dict(row)) for p in changed for group in log.groups(policy, task, [p]) for row in group]
        came = [(p, row) for p, row in pairs if row["verdict"] not in REFUSALS]
        asked = [(p, with_thought(row["response"], row.get("thought_opened") or "")) for p, row in came]
        for (_, row), verdict in zip(came, verify(asked) if asked else [], strict=True):
            row.pop("detail", None)
            row |= _verdict_fields(verdict)
        log.replace([row for _, row in pairs])
        log.keep_golds(policy, task, golds)


def gold_digest(problem: Problem) -> str:
    """Return what a verdict depends on besides the response, as a short digest."""
    parts = [problem.domain, problem.answer, problem.tests, problem.verifier]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _verdict_fields(verdict: Verdict) -> ResponseRow:
    fields = {"verdict": verdict.verdict, "reward": verdict.reward, "revision": VERDICT_REVISION}
    return fields | ({"detail": verdict.detail} if verdict.detail else {})


def collect(
    log: ResponseLog,
    policy: str,
    todo: Mapping[str, Sequence[Problem]],
    sampler: Sampler,
    verify: Verify,
    *,
    k: Mapping[str, int],
    suffix: Mapping[str, str],
    entropy_of: EntropyOf | None = None,
    progress: OnProgress | None = None,
) -> None:
    """Samples, verifies and logs `todo` (task -> problems); verification runs beside generation, in one thread.

    What is sampled when the user stops it is verified and logged before the exception goes on.
    """
    requests, problems = [], {}
    for task, of_task in todo.items():
        for problem in of_task:
            request = Request(f"{task}/{problem.id}", chat_messages(problem, suffix), k[task])
            requests.append(request)
            problems[request.problem_id] = (task, problem)
    long = without_room(requests, sampler, answered=log.has_some(policy))
    for request in (request for request in requests if request.problem_id in long):
        task, problem = problems[request.problem_id]
        log.append([failed_rows(request, problem, {"policy": policy, "task": task}, long[request.problem_id])])
    requests = [request for request in requests if request.problem_id not in long]
    recorder = _Recorder(log, policy, problems, verify, sampler, entropy_of)
    try:
        sampler.sample(requests, on_done=recorder.add, progress=progress)
        recorder.score()
        with stop_after():
            recorder.close()
    except KeyboardInterrupt:
        recorder.score()
        raise
    finally:
        recorder.close()


class _Recorder:
    """Takes finished requests from the sampler: scores them in its thread, verifies and logs them in another."""

    def __init__(
        self,
        log: ResponseLog,
        policy: str,
        problems: Mapping[str, tuple[str, Problem]],
        verify: Verify,
        sampler: Sampler,
        entropy_of: EntropyOf | None,
    ) -> None:
        self.log, self.policy, self.problems, self.verify = log, policy, problems, verify
        self.sampler, self.entropy_of = sampler, entropy_of
        self._waiting: list[tuple[Request, list[SampledResponse]]] = []
        self._queue: list[tuple[Request, list[SampledResponse], list[float | None]]] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._work: list[Future[None]] = []

    def add(self, request: Request, samples: list[SampledResponse]) -> None:
        self._waiting.append((request, samples))
        tokens = sum(s.tokens for _, group in self._waiting for s in group)
        if self.entropy_of is None or tokens >= _SCORED_TOKENS:
            self.score()
        for future in self._work:
            if future.done():
                future.result()  # a verifier that failed ends the sampling now, not after hours

    def score(self) -> None:
        """Add the entropies to what has been gathered and hand it to the verifying thread."""
        waiting = self._waiting
        if not waiting:
            return
        flat = [(request, sample) for request, samples in waiting for sample in samples if not sample.refused]
        scored = iter(self.entropy_of(self.sampler, flat) if self.entropy_of else [s.entropy for _, s in flat])
        with_entropy = [
            (request, samples, [None if sample.refused else next(scored) for sample in samples])
            for request, samples in waiting
        ]
        self._waiting = []  # only now: an interruption above loses none of them
        with self._lock:
            self._queue += with_entropy
        self._work = [f for f in self._work if not f.done()] + [self._pool.submit(self._drain)]

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for future in self._work:
            future.result()

    def _drain(self) -> None:
        with self._lock:
            batch, self._queue = self._queue, []
        pairs = [
            (self.problems[r.problem_id][1], with_thought(s.text, self._opened(s)))
            for r, samples, _ in batch
            for s in samples
            if not s.refused
        ]
        verdicts = iter(self.verify(pairs) if pairs else [])
        self.log.append(
            [
                [
                    self._row(r, s, e, Verdict(s.refused, 0.0) if s.refused else next(verdicts))
                    for s, e in zip(samples, entropies, strict=True)
                ]
                for r, samples, entropies in batch
            ]
        )

    def _opened(self, sample: SampledResponse) -> str:
        """Return the tag of the thought that a sample's prompt opened, or ""."""
        return opened_thought(sample.prompt_end, tags_of(self.verify))

    def _row(self, request: Request, sample: SampledResponse, entropy: float | None, verdict: Verdict) -> ResponseRow:
        task, problem = self.problems[request.problem_id]
        return {
            "policy": self.policy,
            "task": task,
            "id": problem.id,
            "domain": problem.domain,
            "sample": sample.index,
            "prompt": problem.prompt,
            "response": sample.text,
            "verdict": verdict.verdict,
            "reward": verdict.reward,
            "tokens": sample.tokens,
            "truncated": sample.truncated,
            "entropy": None if entropy is None else round(entropy, 6),
            "thought_opened": self._opened(sample),
        } | _verdict_fields(verdict)


def model_key(path: Path | str, commit: str | None = None) -> list[list[Any]]:
    """Return what a model folder is, without reading its weights: each file's name, bytes and time of change.

    commit: of a hub id, where it is known.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [[str(path), commit] if commit else [str(path)]]
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def is_same_key(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether responses depend on the same. The commits of a hub id count where both of them are known."""
    ours, theirs = (key.get("model") for key in (old, new))
    return {**old, "model": None} == {**new, "model": None} and is_same_model(ours, theirs)


def is_same_model(old: Any, new: Any) -> bool:
    """Return whether two results of `model_key` may be of one model: a hub id without its commit may be any of them."""
    named = [key[0] for key in (old, new) if isinstance(key, list) and len(key) == 1 and isinstance(key[0], list)]
    if len(named) == 2 and [len(name) for name in named] in ([1, 2], [2, 1]):
        return bool(named[0][0] == named[1][0])
    return bool(old == new)
