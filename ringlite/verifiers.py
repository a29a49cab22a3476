"""The verifiers as reward functions for TRL's trainers: `reward_funcs=verifiers.math()`.

Each reads what decides about a response from a column of the data set: `answer` (or `solution`, whose last box counts)
for math, science, logic and general; `tests` for code. A reward is 1.0 or 0.0, or between for `judge`, `token_f1` and
`rouge`; None where the verifier itself failed, which TRL leaves out. Worker processes start with the first batch and
end with the interpreter, or by `close()`.
"""

import atexit
import json
from collections.abc import Callable, Sequence
from typing import Any

from ringlite_cli.boxes import last_boxed
from ringlite_cli.errors import UserError
from ringlite_cli.problems import REFERENCED, Problem, Verdict
from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

ANSWER_COLUMNS = ("answer", "solution")


class Reward:
    """A reward function of one domain. Called by the trainer with the columns of the data set as keywords."""

    def __init__(self, domain: str, route: str = "", settings: VerifierSettings | None = None) -> None:
        """route: a verifier other than the domain's own, such as `judge`."""
        self.__name__ = route or domain  # the name that TRL logs it under
        self._domain, self._route = domain, route
        self._verify = Verifiers(settings)
        atexit.register(self.close)

    def __call__(
        self,
        completions: Sequence[Any],
        prompts: Sequence[Any] | None = None,
        log_extra: Callable[[str, list[str]], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return a reward for each response, in order.

        completions: as TRL gives them, text or a conversation each. columns: lists as long, among them the one with
        the answers. Raises UserError where it is missing.
        """
        asked = prompts or [""] * len(completions)
        golds = self._golds(columns, len(completions))
        problems = [self._problem(i, asked[i], gold) for i, gold in enumerate(golds)]
        verdicts = self._verify([(p, _text(c)) for p, c in zip(problems, completions, strict=True)])
        if log_extra is not None:
            log_extra("verdict", [verdict.verdict for verdict in verdicts])
        return [_reward(verdict) for verdict in verdicts]

    def close(self) -> None:
        """End the worker processes."""
        self._verify.close()

    def _golds(self, columns: dict[str, Any], count: int) -> list[Any]:
        names = ("tests",) if self._domain == "code" else ANSWER_COLUMNS
        found = next((columns[name] for name in names if columns.get(name) is not None), None)
        if found is None or len(found) != count:
            there = ", ".join(sorted(name for name, value in columns.items() if isinstance(value, list)))
            raise UserError(
                f"the {self.__name__} verifier finds no column {' or '.join(map(repr, names))}",
                where="train_dataset",
                hint=f"rename the column that decides to {names[0]!r}; there are {there or 'none'}",
            )
        return list(found)

    def _problem(self, number: int, prompt: Any, gold: Any) -> Problem:
        fields: dict[str, Any] = {"id": str(number), "domain": self._domain, "prompt": _text(prompt)}
        if self._domain == "code":
            fields["tests"] = json.loads(gold) if isinstance(gold, str) else gold
        else:
            text = gold if isinstance(gold, str) else json.dumps(gold)
            is_solution = self._route not in REFERENCED and last_boxed(text)
            fields["answer"] = is_solution or text  # a worked solution, or the answer alone
        return Problem(**fields, verifier=self._route)


def math(**settings: Any) -> Reward:
    """Return a reward for boxed mathematical answers. settings: those of VerifierSettings (workers, timeouts ...)."""
    return Reward("math", settings=VerifierSettings(**settings))


def science(**settings: Any) -> Reward:
    """Return a reward for boxed numbers with units, choices and words."""
    return Reward("science", settings=VerifierSettings(**settings))


def logic(**settings: Any) -> Reward:
    """Return a reward for boxed answers to puzzles."""
    return Reward("logic", settings=VerifierSettings(**settings))


def code(**settings: Any) -> Reward:
    """Return a reward for programs that pass the tests of the column `tests`, run in the sandbox."""
    return Reward("code", settings=VerifierSettings(**settings))


def judge(url: str, model: str, **settings: Any) -> Reward:
    """Return a reward by a model behind an OpenAI-compatible address (with /v1), which compares with the answer."""
    return Reward("general", "judge", VerifierSettings(judge_url=url, judge_model=model, **settings))


def token_f1(**settings: Any) -> Reward:
    """Return a reward for short answers: the F1 of their words with the likest of the reference answers."""
    return Reward("general", "token-f1", VerifierSettings(**settings))


def rouge(**settings: Any) -> Reward:
    """Return a reward for summaries: their ROUGE-L with the likest of the reference summaries (extra `rouge`)."""
    return Reward("general", "rouge", VerifierSettings(**settings))


def _text(value: Any) -> str:
    """The text of a prompt or response; of a conversation, that of its last message."""
    if isinstance(value, str):
        return value
    return str(value[-1]["content"]) if value else ""


def _reward(verdict: Verdict) -> float | None:
    return None if verdict.verdict in ("error", "sandbox error") else verdict.reward


__all__ = ["Reward", "code", "judge", "logic", "math", "rouge", "science", "token_f1"]
