"""All verifiers behind one call: routed by the problem, domains side by side, order kept, everything counted."""

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from ringlite_cli.errors import RingliteError, UserError
from ringlite_cli.own_code import is_own
from ringlite_cli.problems import REFERENCED, ROUTES, Problem, Verdict, is_route, route
from ringlite_cli.rewards.code import verify_code
from ringlite_cli.rewards.gym import require_gym, verify_gym
from ringlite_cli.rewards.instructions import verify_instructions
from ringlite_cli.rewards.judge import Judge
from ringlite_cli.rewards.logic import verify_logic
from ringlite_cli.rewards.math import UNPARSED, done, verify_math
from ringlite_cli.rewards.own import OwnRewards
from ringlite_cli.rewards.pool import RewardPool
from ringlite_cli.rewards.references import require_rouge, verify_rouge, verify_token_f1
from ringlite_cli.rewards.reward_model import RewardModelScorer, gpu_bytes
from ringlite_cli.rewards.science import verify_science
from ringlite_cli.rewards.settings import VerifierSettings, judge_settings
from ringlite_cli.sandbox import Sandbox
from ringlite_cli.sandbox.scoring import ScorerSandbox
from ringlite_cli.thoughts import Tags, answer_part

_NO_THOUGHTS = ("instructions", "judge", *REFERENCED)  # routes that never read a thought
_READ_EMPTY = ("instructions", *REFERENCED)  # where nothing is an answer too: a wrong one
_AT_ONCE = {"instructions": verify_instructions, "logic": verify_logic, "token-f1": verify_token_f1}
"""Routes that compare text in this process."""


class Verifiers:
    """Verifies (problem, response) pairs; a context manager, callable from any thread.

    Processes start when the first pair needs them: no code problem, no sandbox. A verdict `error` is ours, has been
    tried twice, gives reward 0 and is counted by that name.
    """

    def __init__(self, settings: VerifierSettings | None = None) -> None:
        self.settings = settings or VerifierSettings()
        self.settings.sandbox()  # faults in the settings show now
        self._math = RewardPool(self.settings.workers, self.settings.math_timeout, self.settings.math_memory_mb)
        self._sandbox: Sandbox | None = None
        self._scorers: ScorerSandbox | None = None
        self._models: RewardModelScorer | None = None
        self._rouge: RewardPool | None = None
        self._judge: Judge | None = None
        self._own = OwnRewards(self.settings.workers, self.settings.judge_timeout)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __enter__(self) -> "Verifiers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """The verdicts, in the order of the pairs. Raises UserError for a problem that nothing verifies."""
        batch = self.start(pairs)
        try:
            return batch.verdicts()
        except BaseException:
            batch.cancel()
            raise

    async def verify_async(self, pairs: Sequence[tuple[Problem, str]]) -> "tuple[list[Verdict], dict[str, float]]":
        """As a call, without blocking the event loop: the verdicts, and the seconds that each domain took.

        Batches overlap. Cancelling the task drops what is queued and ends the programs that run.
        """
        batch = self.start(pairs)
        try:
            await asyncio.gather(*(asyncio.wrap_future(f) for f in batch.futures), return_exceptions=True)
        except asyncio.CancelledError:
            batch.cancel()
            raise
        return batch.verdicts(), batch.seconds

    def start(self, pairs: Sequence[tuple[Problem, str]]) -> "Batch":
        """Hand the pairs to their verifiers and return at once. Raises UserError as a call does."""
        routes = [route_of(problem) for problem, _ in pairs]
        batch = Batch(self, [problem.domain for problem, _ in pairs])
        # Code last: the others' workers and the sandbox's then run at the same time.
        order = sorted(range(len(pairs)), key=lambda i: routes[i] == "code")
        started = {i: self._start(routes[i], *pairs[i]) for i in order}
        batch.watch([started[i] for i in range(len(pairs))])
        return batch

    def note(self, batch: "Batch", verdicts: Sequence[Verdict]) -> None:
        """Count a finished batch."""
        with self._lock:
            for domain, seconds in batch.seconds.items():
                self._seconds[domain] += seconds
            self._counts.update(f"{d}/{v.verdict}" for d, v in zip(batch.domains, verdicts, strict=True))

    def counts(self) -> dict[str, int]:
        """Verdicts so far, as "domain/verdict"; "reader/…" are the answers that were read whole."""
        with self._lock:
            return dict(self._counts) | {f"reader/{k}": n for k, n in self._math.counts.items()}

    def seconds_by_domain(self) -> dict[str, float]:
        """Wall seconds from the start of a call to a domain's last verdict, summed over calls."""
        with self._lock:
            return dict(self._seconds)

    @property
    def thought_tags(self) -> Tags:
        """The tags that open and close a thought."""
        return self.settings.thought_tags

    @property
    def isolation(self) -> str:
        """The isolation that programs and scorers run in; "" before the first."""
        used = self._sandbox or self._scorers
        return str(used.isolation) if used is not None else ""

    def gpu_bytes(self, problems: Sequence[Problem], longest: int) -> int:
        """Return what a reward model for these problems will take of this process's GPU; 0 where none is used.

        longest: tokens of the longest text that it scores.
        """
        if not any(route(problem) == "reward-model" for problem in problems) or not self.settings.reward_model:
            return 0
        return gpu_bytes(self._reward_model_name, self.settings.reward_model_device, longest)

    @property
    def _reward_model_name(self) -> str:
        return str(Path(self.settings.reward_model).expanduser())  # a hub id stays as it is

    @property
    def judge_words(self) -> str:
        """What the judge has taken so far, in a few words; "" where it was not asked."""
        judge = self._judge
        return judge.account.words if judge is not None else ""

    def close(self) -> None:
        """End every worker."""
        self._math.close()
        self._own.close()
        for pool in (self._models, self._rouge):
            if pool is not None:
                pool.close()
        if self._judge is not None:
            self._judge.close()
        for sandbox in (self._sandbox, self._scorers):
            if sandbox is not None:
                sandbox.close()

    def _start(self, route: str, problem: Problem, response: str) -> "Future[Verdict]":
        """Start one verification; where a verifier fails, this pair gets the verdict `error`, and its batch goes on."""
        try:
            answer = self._answer_part(route, response)
            if not answer.strip() and response.strip() and route not in _READ_EMPTY:
                return done(UNPARSED, "nothing stands after the last closed thought")
            return self._route(route, problem, answer)
        except RingliteError:
            raise
        except Exception as error:
            failed: Future[Verdict] = Future()
            failed.set_result(Verdict("error", 0.0, 0.0, f"{type(error).__name__}: {error}"[:200]))
            return failed

    def _answer_part(self, route: str, response: str) -> str:
        """Return the part of a response that its verifier reads: all verifiers get it here, and nowhere else."""
        if self.settings.answer_in_thought and route not in _NO_THOUGHTS:
            return response
        return answer_part(response, self.settings.thought_tags)

    def _route(self, route: str, problem: Problem, response: str) -> "Future[Verdict]":
        if route == "math":
            return verify_math(problem.answer, response, self._math)
        if route == "science":
            return verify_science(problem.answer, response, self._math, self.settings.science_tolerance)
        if route == "code":
            return verify_code(
                problem.tests,
                response,
                self._code_sandbox(),
                trust_compiled_tests=self.settings.trust_compiled_tests,
            )
        if route == "logic-gym":
            partial = self.settings.partial_scores
            return verify_gym(problem.answer, response, self._scorer_sandbox(), partial=partial)
        if is_own(route):
            return self._own.submit(route, problem, response)
        if route == "judge":
            return self._open_judge().submit(problem, response)
        if route == "reward-model":
            if not response.strip():
                return done(UNPARSED, "an empty response")
            return self._reward_model().submit(problem, response)
        if route == "rouge":
            return verify_rouge(problem.answer, response, self._rouge_pool())
        future: Future[Verdict] = Future()
        future.set_result(_AT_ONCE[route](problem.answer, response))
        return future

    def _rouge_pool(self) -> RewardPool:
        require_rouge()
        with self._lock:
            if self._rouge is None:
                settings = self.settings
                self._rouge = RewardPool(settings.workers, settings.math_timeout, settings.math_memory_mb, "rouge")
            return self._rouge

    def _reward_model(self) -> RewardModelScorer:
        if not self.settings.reward_model:
            raise UserError("the route 'reward-model' needs a model", where="rewards.reward_model")
        with self._lock:
            if self._models is None:
                self._models = RewardModelScorer(self._reward_model_name, self.settings.reward_model_device)
            return self._models

    def _open_judge(self) -> Judge:
        settings = self.settings
        if not settings.judge_url or not settings.judge_model:
            raise UserError("the route 'judge' needs an address and a model", where="rewards.judge_url, judge_model")
        with self._lock:
            if self._judge is None:
                self._judge = Judge(judge_settings(settings))
            return self._judge

    def _code_sandbox(self) -> Sandbox:
        with self._lock:
            if self._sandbox is None:
                self._sandbox = Sandbox(self.settings.sandbox())
            return self._sandbox

    def _scorer_sandbox(self) -> ScorerSandbox:
        require_gym()
        with self._lock:
            if self._scorers is None:
                settings = self.settings
                self._scorers = ScorerSandbox(
                    replace(settings.sandbox(), seconds=settings.math_timeout, memory_mb=settings.math_memory_mb)
                )
            return self._scorers


class Batch:
    """Verifications on their way. `futures` and the verdicts stand in the order of the pairs."""

    def __init__(self, verifiers: Verifiers, domains: list[str]) -> None:
        self._verifiers, self.domains = verifiers, domains
        self.futures: list[Future[Verdict]] = []
        self.seconds: dict[str, float] = {}
        self.started = time.monotonic()

    def watch(self, futures: list["Future[Verdict]"]) -> None:
        """Take the futures, and note when each domain's last verdict arrives (`seconds`, from the batch's start)."""
        self.futures = futures
        for future, domain in zip(futures, self.domains, strict=True):
            future.add_done_callback(lambda _, name=domain: self._note(name))  # type: ignore[misc]

    def _note(self, domain: str) -> None:
        self.seconds[domain] = time.monotonic() - self.started

    def verdicts(self) -> list[Verdict]:
        """Wait for all. A verification that another batch called off is an `error`."""
        verdicts = []
        for future in self.futures:
            try:
                verdicts.append(future.result())
            except CancelledError:
                verdicts.append(Verdict("error", 0.0, 0.0, "cancelled"))
            except RingliteError:
                raise
            except Exception as error:
                verdicts.append(Verdict("error", 0.0, 0.0, f"{type(error).__name__}: {error}"[:200]))
        self._verifiers.note(self, verdicts)
        return verdicts

    def cancel(self) -> None:
        """Drop what is queued and end the programs that run."""
        for future in self.futures:
            future.cancel()


def route_of(problem: Problem) -> str:
    """The verifier of a problem: its own, else its domain's. Raises UserError where there is none."""
    name = route(problem)
    if is_route(name):
        return name
    raise UserError(
        f"no verifier {name!r} for a problem of domain {problem.domain!r}",
        where=f"problem {problem.id}",
        hint=f"the verifiers are {', '.join(ROUTES)}, or module:object that the recipe or the task names",
    )
