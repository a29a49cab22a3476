"""All runs of a project: where RL ended over token efficiency, and over epochs and entropy of its start (Fig. 9)."""

from collections.abc import Callable, Sequence

from ringlite_cli.report.blocks import Cell, Column, Figures, Heading, Table, Text
from ringlite_cli.report.figures import Series, Sheet, lines
from ringlite_cli.report.files import JsonRow, listing, load_json, num, objects, text
from ringlite_cli.report.load import Run
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.words import decimal, fixed, percent, points, short

FILE = "token_efficiency.json"
MOST = 200
"""The most runs that a table lists."""
_AXES = (
    ("efficiency", "token efficiency", "RL tokens / SFT tokens"),
    ("epoch", "SFT epochs of the start", "SFT epochs up to the pick"),
    ("entropy", "entropy of the start", "nats per response token"),
)
_NOTE = (
    "RL / SFT: tokens trained by all RL stages over tokens trained by SFT up to the picked checkpoint (§4.3.2). Before "
    "and after: mean avg@k over tasks, of RL's start and of its last policy. A run is a point: other things may differ."
)


def project_blocks(run: Run, pens: Pens) -> list[Text | Heading | Figures | Table]:
    """Return figures of this run among the runs of its folder with scores on the same tasks; [] where it is alone."""
    rows = objects(load_json(run.folder.resolve().parent / FILE))
    mine = next((row for row in rows if text(row, "run") == run.folder.resolve().name), None)
    if mine is None or len(rows) < 2:
        return []
    same = [row for row in rows if listing(row, "tasks") == listing(mine, "tasks") and num(row, "final") is not None]
    blocks: list[Text | Heading | Figures | Table] = [Heading("All runs of this folder")]
    groups = [
        ("after RL", "p-rl0", same, "final"),
        ("before RL", "p-sft", [row for row in same if num(row, "start") is not None], "start"),
    ]
    blocks += efficiency_figures(pens.sheet, groups, mine)
    blocks.append(efficiency_table(rows, lambda row: "strong" if row is mine else ""))
    if len(same) < len(rows):
        blocks.append(Text("The figures show the runs that were scored on the same tasks as this one.", "note"))
    return blocks


def efficiency_figures(
    sheet: Sheet, groups: Sequence[tuple[str, str, Sequence[JsonRow], str]], mine: JsonRow | None = None
) -> list[Figures]:
    """Scores over each axis that at least two runs differ in. groups: name, colour, rows and the score's key."""
    panels = []
    for key, name, unit in _AXES:
        series = [Series(of, style, _scatter(rows, key, y), "points") for of, style, rows, y in groups]
        if len({x for each in series for x, _ in each.points}) < 2:
            continue
        ring = next(iter(_scatter([mine], key, "final")), None) if mine else None
        panels.append(
            lines(
                sheet,
                f"Score over {name}",
                unit,
                "avg@k, mean of tasks, %",
                series,
                even=False,
                pick=ring,
                pick_word="this run",
            )
        )
    found = [panel for panel in panels if panel is not None]
    return [Figures(found)] if found else []


def efficiency_table(rows: Sequence[JsonRow], tone: Callable[[JsonRow], str] = lambda row: "") -> Table:
    labels = ["run", "pick", "SFT tokens", "RL tokens", "RL / SFT", "epoch", "entropy", "before", "after", "gain"]
    columns = [Column(label, numeric=k > 1) for k, label in enumerate(labels)]
    body = [
        [
            Cell(text(row, "run", "?"), tone=tone(row)),
            Cell(text(row, "picked"), tone="quiet"),
            *(Cell(short(num(row, key)), num(row, key)) for key in ("sft_tokens", "rl_tokens")),
            Cell(decimal(num(row, "efficiency")), num(row, "efficiency")),
            Cell(fixed(num(row, "epoch"), 2), num(row, "epoch")),
            Cell(fixed(num(row, "entropy"), 3), num(row, "entropy")),
            *(Cell(percent(num(row, key)), num(row, key)) for key in ("start", "final")),
            Cell(points(num(row, "gain")), num(row, "gain")),
        ]
        for row in rows[:MOST]
    ]
    more = f" The first {MOST} of {len(rows):,} runs." if len(rows) > MOST else ""
    return Table("Token efficiency by run", columns, body, _NOTE + more)


def _scatter(rows: Sequence[JsonRow], x: str, y: str) -> list[tuple[float, float]]:
    found = [(a, 100 * b) for row in rows if (a := num(row, x)) is not None and (b := num(row, y)) is not None]
    return sorted(found)
