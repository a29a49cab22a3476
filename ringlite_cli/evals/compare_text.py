"""A comparison of two runs in words: as tables for a terminal, or as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ringlite_cli.evals import items
from ringlite_cli.model_text import shown
from ringlite_cli.report.words import NONE, clipped, decimal, duration
from ringlite_cli.runs.revisions import in_words
from ringlite_cli.shares import in_percent

METHOD = (
    "change: in points, over the problems that both have; 95 %: bootstrap over pairs of problems (BCa), no narrower "
    "than the exact bounds of so few problems (Clopper-Pearson, McNemar)"
)
NO_NUMBER = f"{NONE}: the run has no number there: it lacks the metric, or was NaN or infinite in those steps"
_LETTERS = 60
"""Characters of a recipe's value in a terminal."""
_SHORT = 8
"""Characters of a run's name that still heads a column of numbers."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table in words. numeric: columns that are set to the right, by number."""

    title: str
    columns: Sequence[str]
    numeric: Sequence[int]
    rows: Sequence[Sequence[str]]
    note: str = ""


def grids(comparison: Mapping[str, Any]) -> list[Grid]:
    """Return the tables of a comparison, those without a row left out. Scores in percent, numbers with their units."""
    a, b = names_of(comparison)
    found = [
        Grid(
            f"Scores (avg@k in percent): {b} against {a}",
            ["policy", "task", a, b, "change", "95 %", "n", "won:lost", "verdict"],
            range(2, 8),
            [_score(row) for row in comparison["scores"]],
            METHOD,
        ),
        Grid(
            "Length of a mean response",
            ["policy", "task", "unit", a, b],
            (3, 4),
            [
                [row["policy"], row["task"], "tokens", _number(row["tokens_a"]), _number(row["tokens_b"])]
                for row in comparison["scores"]
                if row["tokens_a"] is not None or row["tokens_b"] is not None
            ],
        ),
        Grid(
            "Training: means over the last tenth of the steps",
            ["stage", "metric", "unit", a, b],
            (3, 4),
            [
                [row["stage"], row["metric"], row["unit"], _number(row["a"]), _number(row["b"])]
                for row in comparison["training"]
            ],
            NO_NUMBER if any(None in (row["a"], row["b"]) for row in comparison["training"]) else "",
        ),
        Grid(
            "What it took to make a policy: its stage and all before it",
            ["policy", "cost", "unit", a, b],
            (3, 4),
            [[row["policy"], *_cost(row)] for row in comparison["policies"]],
        ),
        Grid(
            "Cost by stage",
            ["stage", "cost", "unit", a, b],
            (3, 4),
            [[row["stage"], *_cost(row)] for row in comparison["cost"]],
        ),
        Grid(
            "Recipe keys that differ, of the stages that both have",
            ["recipe key", a, b],
            (),
            [[row["key"], str(row["a"]), str(row["b"])] for row in comparison["recipe"]],
        ),
    ]
    return [grid for grid in found if grid.rows]


def as_text(comparison: Mapping[str, Any]) -> str:
    """Return the comparison as Markdown."""
    lines: list[str] = []
    for grid in grids(comparison):
        lines += [f"**{grid.title}**", "", _markdown_row(grid.columns)]
        lines.append("|" + "|".join("---:" if k in grid.numeric else "---" for k in range(len(grid.columns))) + "|")
        lines += [*map(_markdown_row, grid.rows), "", *([grid.note, ""] if grid.note else [])]
    lines += [line for note in comparison["notes"] for line in (note, "")]
    for row in comparison["scores"]:
        lines += items.as_text(row, names_of(comparison))
    return "\n".join(lines).rstrip() + "\n"


def as_tables(comparison: Mapping[str, Any]) -> Iterator[Table | Text]:
    """Yield the comparison as tables and lines for a terminal; runs of long names are called A and B there."""
    names = names_of(comparison)
    letters = {name: letter for name, letter in zip(names, "AB", strict=True) if len(name) > _SHORT}
    if letters:
        yield Text(shown(", ".join(f"{letter}: {name}" for name, letter in letters.items())))
    for grid in grids(comparison):
        title = shown(grid.title)
        table = Table(title=Text(title, "bold"), title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
        table.pad_edge, table.padding = False, (0, 1)
        table.caption = Text(grid.note) if grid.note else None
        for place, name in enumerate(grid.columns):
            head, numeric = Text(shown(letters.get(name, name))), place in grid.numeric
            table.add_column(head, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
        for row in grid.rows:
            table.add_row(*(_coloured(clipped(shown(cell), _LETTERS)) for cell in row))
        yield table
    for note in comparison["notes"]:
        yield Text(shown(note))
    for row in comparison["scores"]:
        if lines := items.as_text(row, names):
            yield Text(shown("\n".join(lines)))


def names_of(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """Return the runs' names, or their paths where the names are one."""
    a, b = (Path(run).name for run in comparison["runs"])
    return (a, b) if a != b else (str(comparison["runs"][0]), str(comparison["runs"][1]))


def _score(row: Mapping[str, Any]) -> list[str]:
    a, b = (in_percent(row[side], 1) for side in "ab")
    d, low, high = (100 * x for x in (row["difference"], *row["ci95"]))
    counts = [str(row["n"]), f"{len(row['wins'])}:{len(row['losses'])}"]
    change = [NONE, NONE] if isnan(d) else [f"{d:+.1f}", f"[{low:+.1f}, {high:+.1f}]"]
    return [row["policy"], row["task"], a, b, *change, *counts, _verdict(row)]


def _verdict(row: Mapping[str, Any]) -> str:
    """The verdict on a difference, marked where the two sides were scored by different revisions."""
    a, b = in_words(row["revisions_a"]), in_words(row["revisions_b"])
    return str(row["verdict"]) if a == b else f"{row['verdict']} (verdicts of revision {a} / {b})"


def _cost(row: Mapping[str, Any]) -> list[str]:
    if row["unit"] == "s":
        times = (NONE if value is None else duration(value).replace("\u00a0", " ") for value in (row["a"], row["b"]))
        return [row["cost"], "", *times]
    return [row["cost"], row["unit"], *(NONE if v is None else f"{v:,.0f}" for v in (row["a"], row["b"]))]


def _number(value: float | None) -> str:
    return decimal(value).replace("\u00a0", " ")


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _coloured(cell: str) -> Text:
    return Text(cell, style={"better": "green", "worse": "red"}.get(cell.partition(" ")[0], ""))
