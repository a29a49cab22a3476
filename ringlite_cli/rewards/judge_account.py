"""What a judge has graded and what that took: kept in a file, so that a resumed stage pays for no grade twice.

A budget is never exceeded: what a request may take at most is put aside before it is sent, and the rest given back.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.presence import entries
from ringlite_cli.runs.files import MetricsWriter, read_jsonl
from ringlite_cli.runs.ranks import rank, world_size

FILE = "judge.jsonl"
_MILLION = 1_000_000
_LATELY, _FEW = 50, 20  # answers that the share of failures is of, and from how many on it counts


@dataclass(frozen=True, slots=True)
class Limits:
    """What a judge may take.

    tokens, money: at most, None without bound. prompt_price, reply_price: of a million tokens. failures: the share of
    the last answers that may be none.
    """

    tokens: int | None = None
    money: float | None = None
    prompt_price: float = 0.0
    reply_price: float = 0.0
    failures: float = 0.5

    def cost(self, prompt_tokens: float, reply_tokens: float) -> float:
        """Return the price of these tokens."""
        return (prompt_tokens * self.prompt_price + reply_tokens * self.reply_price) / _MILLION


@dataclass
class Spent:
    """Tokens and money that requests took, or may take."""

    prompt: int = 0
    reply: int = 0
    money: float = 0.0
    requests: int = 0

    def add(self, prompt: int, reply: int, money: float, *, sign: int = 1) -> None:
        """Add a request, or take one away."""
        self.prompt += sign * prompt
        self.reply += sign * reply
        self.money += sign * money
        self.requests += sign


@dataclass
class Request:
    """A request under way. Its sender fills in the tokens that it took, and what came of it."""

    most_prompt: int
    most_reply: int
    prompt_tokens: int | None = None
    reply_tokens: int = 0
    row: dict[str, Any] = field(default_factory=dict)


class JudgeAccount:
    """Grades by key, what they took, and whether the judge still answers. Thread-safe.

    folder: of the stage, whose judge.jsonl is read and written; None keeps grades in memory alone.
    """

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        self._limits = limits
        self._change = threading.Condition()
        self._spent, self._aside = Spent(), Spent()
        self._grades: dict[str, float] = {}
        self._lately: deque[str] = deque(maxlen=_LATELY)
        self.cached = 0
        self._file = folder / (FILE if rank() == 0 else f"judge.rank-{rank()}.jsonl") if folder else None
        for file in _files(folder) if folder else ():
            self._take_up(file)
        self._writer: MetricsWriter | None = None

    def _take_up(self, file: Path) -> None:
        """Know a file's grades; ranks have a share of the budget each, and count what they took themselves."""
        for row in read_jsonl(file):
            if world_size() == 1 or file == self._file:
                self._spent.add(*_took(row, self._limits))
            if isinstance(row.get("grade"), int | float):
                self._grades[str(row["key"])] = float(row["grade"])

    @property
    def spent(self) -> Spent:
        """What all requests have taken so far, those of earlier sessions included."""
        return self._spent

    @property
    def words(self) -> str:
        """What was taken so far, in a few words."""
        cost = f", {self._spent.money:,.4f}" if self._limits.prompt_price or self._limits.reply_price else ""
        return f"judge {self._spent.prompt + self._spent.reply:,} tokens{cost}"

    def known(self, key: str) -> float | None:
        """Return a grade that is paid for already."""
        with self._change:
            self.cached += key in self._grades
            return self._grades.get(key)

    @contextmanager
    def request(self, key: str, most_prompt: int, most_reply: int) -> Iterator[Request]:
        """Put aside what a request may take, for the block; then write down what it took.

        Raises UserError where the budget has no room for it.
        """
        asked = Request(most_prompt, most_reply)
        most = (most_prompt, most_reply, self._limits.cost(most_prompt, most_reply))
        with self._change:
            while not self._fits(*most):
                if not self._aside.requests:
                    raise self._used_up(*most)
                self._change.wait()  # for requests that take less than was put aside for them
            self._aside.add(*most)
        try:
            yield asked
        finally:
            with self._change:
                self._aside.add(*most, sign=-1)
                self._keep(key, asked)
                self._change.notify_all()

    def note(self, failure: str) -> None:
        """Note why the judge gave no grade; "" for a grade. Raises WorkFailed where it mostly gives none."""
        with self._change:
            self._lately.append(failure)
        self.check()

    def check(self) -> None:
        """Raise WorkFailed where the judge has mostly given no grade: it is not asked any more."""
        with self._change:
            total, failures = len(self._lately), [failure for failure in self._lately if failure]
            failed = len(failures)
        if total >= _FEW and failed > self._limits.failures * total:
            raise WorkFailed(
                f"the judge gave no grade in {failed} of the last {total} answers; the last: {failures[-1]}",
                where="rewards.judge_url",
                hint="see to it (judge_timeout, judge_model, its server), then give the same command: it goes on, and "
                "grades that are there are not asked for again",
            )

    def _fits(self, prompt: int, reply: int, money: float) -> bool:
        limits, spent, aside = self._limits, self._spent, self._aside
        tokens = spent.prompt + spent.reply + aside.prompt + aside.reply + prompt + reply
        if limits.tokens is not None and tokens > limits.tokens:
            return False
        return limits.money is None or spent.money + aside.money + money <= limits.money

    def _used_up(self, prompt: int, reply: int, money: float) -> UserError:
        limits, spent = self._limits, self._spent
        by_tokens = limits.tokens is not None and spent.prompt + spent.reply + prompt + reply > limits.tokens
        if by_tokens:
            what = (
                f"{spent.prompt + spent.reply:,} of {limits.tokens:,} tokens are used, and the next request may take "
            )
            what += f"{prompt + reply:,}"
        else:
            what = f"{spent.money:,.2f} of {limits.money:,.2f} are spent, and the next request may cost {money:,.4f}"
        key = "rewards.judge_budget" if by_tokens else "rewards.judge_max_cost"
        return UserError(
            f"the judge's budget is used up: {what}",
            where=key,
            hint="raise it and give the same command: it goes on, and grades that are there are not asked for again",
        )

    def _keep(self, key: str, asked: Request) -> None:
        if asked.prompt_tokens is None and not asked.row:
            return  # nothing was answered, nothing is charged
        row = {"key": key, **asked.row, "prompt_tokens": asked.prompt_tokens or 0, "reply_tokens": asked.reply_tokens}
        self._spent.add(*_took(row, self._limits))
        if isinstance(asked.row.get("grade"), int | float):
            self._grades[key] = float(asked.row["grade"])
        if self._file is not None:
            self._writer = self._writer or MetricsWriter(self._file)
            self._writer.append(row)


def _took(row: Mapping[str, Any], limits: Limits) -> tuple[int, int, float]:
    prompt, reply = int(row.get("prompt_tokens") or 0), int(row.get("reply_tokens") or 0)
    return prompt, reply, limits.cost(prompt, reply)


def _files(folder: Path) -> list[Path]:
    """The grades of all ranks in a stage's folder."""
    return entries(folder, "judge*.jsonl")


def account_of(folder: Path, limits: Limits) -> dict[str, Any] | None:
    """Return what the judge took in a stage, over all ranks and sessions, as JSON; None where it was not asked."""
    total, grades = Spent(), 0
    for row in (row for file in _files(folder) for row in read_jsonl(file)):
        total.add(*_took(row, limits))
        grades += isinstance(row.get("grade"), int | float)
    if not total.requests:
        return None
    found = {"requests": total.requests, "grades": grades, "prompt_tokens": total.prompt, "reply_tokens": total.reply}
    return found | ({"cost": round(total.money, 6)} if limits.prompt_price or limits.reply_price else {})


def in_words(account: Mapping[str, Any]) -> str:
    """Return an account in a few words."""
    tokens = account["prompt_tokens"] + account["reply_tokens"]
    cost = f", {account['cost']:,.4f} by its prices" if "cost" in account else ""
    return f"judge: {account['grades']:,} grades, {tokens:,} tokens{cost}"
