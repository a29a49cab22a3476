"""Responses of one problem by one policy, as the page holds them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli.model_text import shown
from ringlite_cli.problems import is_right
from ringlite_cli.report.files import JsonRow, mapping, num, number, objects, text

LETTERS = 3000
"""Characters kept of a prompt or a response."""
MOST_ROWS = 64
"""Responses kept of a group."""


@dataclass(slots=True)
class Group:
    """step: of RL; None for evaluated responses, which have a task. rows: see `packed`. rescored: rows that are."""

    policy: str
    step: float | None
    task: str
    problem: str
    domain: str
    prompt: str
    rows: list[list[Any]] = field(default_factory=list)
    left_out: int = 0
    rescored: int = 0

    def add(self, row: JsonRow) -> None:
        if len(self.rows) < MOST_ROWS:
            self.rows.append(packed(row))
            self.rescored += "rescored" in row
        else:
            self.left_out += 1

    def size(self) -> int:
        texts = [self.prompt, *(each for row in self.rows for each in row[-3:])]
        return 120 + 60 * len(self.rows) + sum(len(each.encode()) for each in texts)


def packed(row: JsonRow) -> list[Any]:
    """Return [verdict, right, reward, advantage, tokens, kept, cut at the limit, letters left out, rescored, parts,
    detail, text]. rescored: None, or the [verdict, right, reward, revision] that `ringlite rescore` found.
    """
    response = plain(row.get("response"))
    return [
        shown(text(row, "verdict", "–")),
        counts_as_right(row),
        num(row, "reward"),
        _rounded(num(row, "advantage")),
        num(row, "tokens"),
        num(row, "tokens_kept"),
        row.get("truncated") is True,
        max(0, len(response) - LETTERS),
        _rescored(row),
        shown(parts_in_words(row)),
        shown(text(row, "detail")),
        shown(response[:LETTERS]),
    ]


def _rescored(row: JsonRow) -> list[Any] | None:
    found = mapping(row, "rescored")
    if not found:
        return None
    return [shown(text(found, "verdict", "–")), counts_as_right(found), num(found, "reward"), num(found, "revision")]


def counts_as_right(row: JsonRow) -> bool | None:
    """Return whether a response counts as right by its verdict; None where it got none."""
    reward = num(row, "reward")
    return None if reward is None else is_right(text(row, "verdict"), reward)


def parts_in_words(row: JsonRow) -> str:
    """Return what a reward was composed of, each verifier before its weight; "" where a verdict alone is the reward."""
    parts = {name: number(part) for name, part in mapping(row, "reward_parts").items()}
    return ", ".join(f"{name} {'failed' if part is None else f'{part:.3g}'}" for name, part in parts.items())


def rollout_groups(policy: str, rows: Iterable[JsonRow], size: int | None) -> Iterator[Group]:
    """Yield the groups of an RL stage's rollouts: rows of one problem that follow each other, at most `size` of them.

    size: num_generations; None where it is not known, when a new step begins a new group.
    """
    group: Group | None = None
    count = 0
    for row in rows:
        name, step = text(row, "prompt_id", "?"), num(row, "step")
        new = group is None or group.problem != shown(name) or (step != group.step if size is None else count >= size)
        if group is not None and new:
            yield group
        if group is None or new:
            group, count = _begun(policy, row, name), 0
            group.step = step
        group.add(row)
        count += 1
    if group is not None:
        yield group


def response_groups(rows: Iterable[JsonRow]) -> Iterator[Group]:
    """Yield the groups of evaluated responses: rows of one policy, task and problem that follow each other."""
    group: Group | None = None
    at: tuple[str, str, str] | None = None
    for row in rows:
        here = (text(row, "policy", "?"), text(row, "task", "?"), text(row, "id", "?"))
        if group is not None and here != at:
            yield group
        if group is None or here != at:
            group, at = _begun(here[0], row, here[2]), here
            group.task = shown(here[1])
        group.add(row)
    if group is not None:
        yield group


def plain(value: Any) -> str:
    """Text, or the messages of a conversation one below the other."""
    if isinstance(value, str):
        return value
    return "\n\n".join(f"[{text(m, 'role', '?')}]\n{text(m, 'content')}" for m in objects(value))


def _begun(policy: str, row: JsonRow, problem: str) -> Group:
    prompt = shown(plain(row.get("prompt"))[:LETTERS])
    return Group(shown(policy), None, "", shown(problem), shown(text(row, "domain", "?")), prompt)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
