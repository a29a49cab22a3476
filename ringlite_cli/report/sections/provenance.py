"""Where it came from: seeds, versions, devices, digests, the resolved recipe, and what in it is not as shipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ringlite_cli.report.blocks import Cell, Column, Details, Section, Table
from ringlite_cli.report.files import JsonRow, flatten, num, text
from ringlite_cli.report.load import Run, Stage, parents
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.recipe_diff import as_yaml, difference, shipped_of
from ringlite_cli.report.words import clipped, count, duration, joined, size

_LETTERS = 60_000
"""Characters shown of a recipe."""
_SHOWN = (
    "manifest.json",
    "metrics.jsonl",
    "funnel.json",
    "CARD.md",
    "dropped.jsonl",
    "decision.json",
    "rollouts.jsonl",
    "guard.jsonl",
    "scores.json",
    "responses.jsonl",
)
"""Files of a stage that the page leads to."""


def section(run: Run, pens: Pens) -> Section:
    page = Section("provenance", "Provenance")
    page.blocks.append(_stages(run))
    same, differing = versions(run)
    if same:
        rows = [[Cell(key), Cell(value or "–")] for key, value in same]
        caption = "Versions, the same in every stage that states them"
        page.blocks.append(Table(caption, _words("what", "value"), rows, folded=True))
    if differing:
        rows = [[Cell(key), *(Cell(said.get(s.name, "–")) for s in run.stages)] for key, said in differing]
        page.blocks.append(
            Table("Versions that differ between stages", _words("what", *(s.name for s in run.stages)), rows)
        )
    if not same and not differing:
        page.say("No manifest of this run states versions.", "missing")
    files = [row for stage in run.stages for key in ("inputs", "outputs") for row in _files(run, stage, key)]
    if files:
        columns = [*_words("stage", "", "name", "path", "digest"), Column("rows"), Column("bytes")]
        page.blocks.append(Table("Inputs and outputs", columns, files, folded=True))
    page.blocks += _recipes(run, pens)
    return page


def versions(run: Run) -> tuple[list[tuple[str, str]], list[tuple[str, dict[str, str]]]]:
    """(what all stages that state it share, what differs with each stage's value), in order of first mention."""
    said: dict[str, dict[str, str]] = {}
    for stage in run.stages:
        for key, value in flatten(stage.manifest.get("versions")):
            said.setdefault(key, {})[stage.name] = value
    same = [(key, next(iter(by.values()))) for key, by in said.items() if len(set(by.values())) == 1]
    return same, [(key, by) for key, by in said.items() if len(set(by.values())) > 1]


def _words(*labels: str) -> list[Column]:
    return [Column(label, numeric=False) for label in labels]


def _stages(run: Run) -> Table:
    columns = [*_words("stage", "kind", "status", "after", "started"), Column("took"), Column("seed"), *_words("files")]
    rows = []
    for s in run.stages:
        started = s.started.strftime("%Y-%m-%d %H:%M:%S %Z") if s.started else "–"
        rows.append(
            [
                Cell(s.name),
                Cell(s.kind, tone="quiet"),
                Cell(s.status),
                Cell(joined(parents(s)) or "–"),
                Cell(started),
                Cell(duration(s.seconds), s.seconds),
                Cell(text(s.manifest, "seed", "–"), num(s.manifest, "seed")),
                Cell(
                    "",
                    links=tuple((name, link) for name in _SHOWN if (link := link_to(run.folder, f"{s.name}/{name}"))),
                ),
            ]
        )
    return Table("Stages", columns, rows)


def _files(run: Run, stage: Stage, key: str) -> list[list[Cell]]:
    value = stage.manifest.get(key)
    if isinstance(value, dict):
        named = [(str(name), v if isinstance(v, dict) else {}) for name, v in value.items()]
        entries: list[Any] = [{"path": name, **entry, "name": name} for name, entry in named]
    else:
        entries = value if isinstance(value, list) else []
    found = [entry if isinstance(entry, dict) else {"path": str(entry)} for entry in entries]
    return [_file(run, stage, key, entry) for entry in found]


def _file(run: Run, stage: Stage, key: str, entry: JsonRow) -> list[Cell]:
    return [
        Cell(stage.name),
        Cell(key.removesuffix("s"), tone="quiet"),
        Cell(text(entry, "name", "–")),
        _path(run, text(entry, "path", "?")),
        Cell(clipped(text(entry, "digest", "–"), 32), tone="code"),
        Cell(count(num(entry, "rows")), num(entry, "rows")),
        Cell(size(num(entry, "bytes")), num(entry, "bytes")),
    ]


def _recipes(run: Run, pens: Pens) -> Iterator[Details]:
    """The resolved recipe as YAML, and what differs from the shipped one of its name, or from what the user named."""
    recipe = run.recipe or {stage.name: stage.manifest.get("recipe") for stage in run.stages}
    if words := as_yaml(recipe):
        yield Details("Resolved recipe", clipped(words, _LETTERS))
    beside = pens.beside or shipped_of(run.recipe)
    if beside and run.recipe:
        what, theirs = beside
        changed = difference(run.recipe, theirs)
        words = f"- {what}\n+ this run\n\n{changed}" if changed else f"Key by key the same as {what}."
        yield Details(f"Recipe against {what}", clipped(words, _LETTERS))


def _path(run: Run, name: str) -> Cell:
    """The path as it is recorded, which leads to the file where that lies in the run's folder."""
    link = link_to(run.folder, name)
    return Cell("", links=((name, link),)) if link else Cell(name)


def link_to(run: Path, name: str) -> str:
    """Return the link from a run's page to a file of the run's folder; "" for what is not there, or outside."""
    try:
        file, inside = (run / name).resolve(), run.resolve()
        found = file.is_relative_to(inside) and file.is_file()
    except (OSError, ValueError):
        return ""
    return "./" + quote(file.relative_to(inside).as_posix()) if found else ""
