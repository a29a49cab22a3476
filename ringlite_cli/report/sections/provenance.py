"""Where it came from: seeds, versions, devices, digests, and the resolved recipe of every stage."""

import json
from typing import Any

from ringlite_cli.report.blocks import Cell, Column, Details, Section, Table
from ringlite_cli.report.files import Row, flatten, num, text
from ringlite_cli.report.load import Run, Stage, parents
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.words import clipped, count, duration, joined, size


def section(run: Run, pens: Pens) -> Section:
    page = Section("provenance", "Provenance")
    page.blocks.append(_stages(run))
    same, differing = versions(run)
    if same:
        rows = [[Cell(key), Cell(value or "–")] for key, value in same]
        page.blocks.append(Table("Versions, the same in every stage that states them", _words("what", "value"), rows))
    if differing:
        rows = [[Cell(key), *(Cell(said.get(s.name, "–")) for s in run.stages)] for key, said in differing]
        page.blocks.append(
            Table("Versions that differ between stages", _words("what", *(s.name for s in run.stages)), rows)
        )
    if not same and not differing:
        page.say("No manifest of this run states versions.", "missing")
    files = [row for stage in run.stages for key in ("inputs", "outputs") for row in _files(stage, key)]
    if files:
        columns = [*_words("stage", "", "name", "path", "digest"), Column("rows"), Column("bytes")]
        page.blocks.append(Table("Inputs and outputs", columns, files))
    page.blocks += [d for stage in run.stages if (d := _recipe(stage))]
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
    columns = [*_words("stage", "kind", "status", "after", "started"), Column("took"), Column("seed")]
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
            ]
        )
    return Table("Stages", columns, rows)


def _files(stage: Stage, key: str) -> list[list[Cell]]:
    value = stage.manifest.get(key)
    if isinstance(value, dict):
        named = [(str(name), v if isinstance(v, dict) else {}) for name, v in value.items()]
        entries: list[Any] = [{"path": name, **entry, "name": name} for name, entry in named]
    else:
        entries = value if isinstance(value, list) else []
    found = [entry if isinstance(entry, dict) else {"path": str(entry)} for entry in entries]
    return [_file(stage, key, entry) for entry in found]


def _file(stage: Stage, key: str, entry: Row) -> list[Cell]:
    return [
        Cell(stage.name),
        Cell(key.removesuffix("s"), tone="quiet"),
        Cell(text(entry, "name", "–")),
        Cell(text(entry, "path", "?")),
        Cell(clipped(text(entry, "digest", "–"), 32), tone="code"),
        Cell(count(num(entry, "rows")), num(entry, "rows")),
        Cell(size(num(entry, "bytes")), num(entry, "bytes")),
    ]


def _recipe(stage: Stage) -> Details | None:
    recipe = stage.manifest.get("recipe")
    if not isinstance(recipe, dict) or not recipe:
        return None
    import yaml

    try:
        words = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    except yaml.YAMLError:
        words = json.dumps(recipe, indent=2, ensure_ascii=False, default=str)
    return Details(f"Resolved recipe of {stage.name}", clipped(words, 60_000))
