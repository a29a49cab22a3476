"""The problems that one run solved more often than another, with the responses of both to read."""

from collections.abc import Iterable, Mapping
from typing import Any

from ringlite_cli.problems import is_right
from ringlite_cli.shares import in_percent

Key = tuple[str, str]
"""Policy and task."""

Rows = Mapping[Key, Mapping[str, list[dict[str, Any]]]]
"""(policy, task) -> problem id -> its rows."""


def split_items(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, list[str]]:
    """{"wins", "losses"}: ids of the problems that both have and `b` solved more (less) often, largest change first."""
    change = {name: b[name] - a[name] for name in a if name in b}
    wins = sorted((name for name in change if change[name] > 0), key=lambda name: -change[name])
    losses = sorted((name for name in change if change[name] < 0), key=lambda name: change[name])
    return {"wins": wins, "losses": losses}


def example_of(rows: Iterable[Mapping[str, Any]], *, right: bool) -> Mapping[str, Any]:
    """The first row that is right (or not); the first of all where every one is the other way; {} for none."""
    listed = list(rows)
    return next(
        (row for row in listed if is_right(row.get("verdict", ""), row["reward"]) == right), listed[0] if listed else {}
    )


def reading(
    key_a: Key, key_b: Key, ids: Mapping[str, list[str]], rows_a: Rows, rows_b: Rows, count: int
) -> list[dict[str, Any]]:
    """The first `count` wins and losses: `id`, `outcome`, mean rewards `a` and `b`, `prompt`, `response_a`, `_b`."""
    items = []
    for outcome, names in (("won", ids["wins"]), ("lost", ids["losses"])):
        for name in names[:count]:
            mine, theirs = rows_a[key_a][name], rows_b[key_b][name]
            first = example_of(mine, right=outcome == "lost")
            second = example_of(theirs, right=outcome == "won")
            items.append(
                {
                    "id": name,
                    "outcome": outcome,
                    "a": _mean(mine),
                    "b": _mean(theirs),
                    "prompt": first.get("prompt", ""),
                    "response_a": first.get("response", ""),
                    "response_b": second.get("response", ""),
                }
            )
    return items


def as_text(row: Mapping[str, Any], names: tuple[str, str]) -> list[str]:
    """The items of one policy and task as Markdown lines."""
    lines: list[str] = []
    for item in row["items"]:
        lines += [
            "",
            f"### {item['outcome']}: {row['policy']} on {row['task']}, {item['id']} "
            f"({in_percent(item['a'])} % -> {in_percent(item['b'])} %)",
            "",
            item["prompt"],
        ]
        for name, side in zip(names, ("response_a", "response_b"), strict=True):
            lines += ["", f"{name}:", "", *(f"> {line}" for line in item[side].splitlines())]
    return lines


def _mean(rows: list[dict[str, Any]]) -> float:
    return float(sum(row["reward"] for row in rows) / len(rows))
