"""What curation says of its rows beside the funnel: solutions run, tests mended, traces, pass rates, labels, pairs."""

from collections.abc import Iterator

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.figures import Bar, bars
from ringlite_cli.report.files import JsonRow, mapping, num, numbers
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.words import clipped, count, label, percent

CLASSES_DRAWN = 16
PAIRS_SHOWN = 3  # of a reason
_WIDTH = 240  # characters of a text in a table


def add(page: Section, funnel: JsonRow, pens: Pens) -> None:
    """Add what the funnel holds of it; a funnel of another version adds nothing."""
    tables = [_solutions(funnel), _doubtful(funnel), _mended(funnel), *_distillation(funnel)]
    page.blocks += [table for table in tables if table]
    rates = [
        bars(pens.sheet, f"Pass rates of {name}, all problems asked", [_bar(*pair) for pair in _by_rate(row)])
        for name, row in mapping(funnel, "pass_rates").items()
    ]
    labels = [
        bars(pens.sheet, f"Rows kept, by {label(name)}", [_bar(*pair) for pair in list(shown.items())[:CLASSES_DRAWN]])
        for name, counts in mapping(funnel, "labels").items()
        if (shown := numbers(counts)) and name != "pass_rate"
    ]
    page.figures(*rates)
    page.figures(*labels, small=True)
    page.blocks += [table for table in (*_rates(funnel), _makers(funnel), _pairs(funnel)) if table]


def _rates(funnel: JsonRow) -> Iterator[Table]:
    """A table per label of what share of responses solves the problems of each value, the hardest first."""
    for name in mapping(funnel, "pass_rates_by_label"):
        values = mapping(mapping(funnel, "pass_rates_by_label"), name)
        rows = []
        for value in list(values)[:CLASSES_DRAWN]:
            told = mapping(values, value)
            number, rate = num(told, "rows"), num(told, "pass_rate")
            rows.append([Cell(clipped(value, 60)), Cell(count(number or 0), number), Cell(percent(rate), rate)])
        yield Table(
            f"Pass rates by {label(name)}", [Column(label(name), False), Column("rows"), Column("solved")], rows
        )


def _bar(name: str, rows: float) -> Bar:
    return Bar(name, [("c-kept", rows)], count(rows))


def _by_rate(counts: object) -> list[tuple[str, float]]:
    """Lowest rate first."""
    return sorted(numbers(counts).items())


def _solutions(funnel: JsonRow) -> Table | None:
    """Accepted solutions that were run in the sandbox, by source."""
    rows = []
    for source, told in mapping(funnel, "solutions").items():
        passed, failed = num(told, "passed") or 0.0, numbers(mapping(told, "failed"))
        share = passed / (passed + sum(failed.values())) if passed or failed else None
        why = ", ".join(f"{label(reason)} {count(n)}" for reason, n in failed.items())
        rows.append([Cell(source), Cell(count(passed), passed), Cell(percent(share), share), Cell(why or "–")])
    columns = [Column("source", False), Column("passed"), Column("share"), Column("failed, by kind", False)]
    return Table("Accepted solutions run against their tests", columns, rows) if rows else None


def _doubtful(funnel: JsonRow) -> Table | None:
    """Held-out rows that the verifier would not reward for what their source gives."""
    rows = [
        [Cell(source), Cell(label(reason)), Cell(count(n), n)]
        for source, counts in mapping(funnel, "doubtful").items()
        for reason, n in numbers(counts).items()
    ]
    columns = [Column("source", False), Column("reason", False), Column("rows")]
    return (
        Table("Held-out rows kept, though the verifier rejects what the source gives", columns, rows) if rows else None
    )


def _mended(funnel: JsonRow) -> Table | None:
    mended = numbers(mapping(funnel, "tests_mended"))
    rows = [[Cell(label(reason)), Cell(count(n), n)] for reason, n in mended.items()]
    return (
        Table("Problems whose tests lost faulty cases", [Column("fault", False), Column("rows")], rows)
        if rows
        else None
    )


def _distillation(funnel: JsonRow) -> Iterator[Table]:
    """The teacher's rounds, and why responses were rejected."""
    told = mapping(funnel, "distill")
    rounds = told.get("rounds")
    rows = []
    for number, one in enumerate(rounds if isinstance(rounds, list) else [], 1):
        asked, kept = num(one, "asked"), num(one, "kept")
        share = kept / asked if asked and kept is not None else None
        rows.append(
            [Cell(str(number), number), Cell(count(asked), asked), Cell(count(kept), kept), Cell(percent(share), share)]
        )
    if rows:
        columns = [Column("round"), Column("problems asked"), Column("traces kept"), Column("share")]
        yield Table("Distillation: each round asks what is left", columns, rows)
    if rejected := numbers(mapping(told, "rejected")):
        cells = [[Cell(label(reason)), Cell(count(n), n)] for reason, n in rejected.items()]
        yield Table(
            "Responses of the teacher that were rejected", [Column("reason", False), Column("responses")], cells
        )


def _makers(funnel: JsonRow) -> Table | None:
    """Return how each label was made, by rows."""
    rows = []
    for name, counts in mapping(funnel, "labelled_by").items():
        how = ", ".join(f"{maker} {count(n)}" for maker, n in numbers(counts).items())
        rows.append([Cell(label(name)), Cell(how)])
    return (
        Table("How labels were made", [Column("label", False), Column("made by, rows", False)], rows) if rows else None
    )


def _pairs(funnel: JsonRow) -> Table | None:
    """A few dropped rows of each reason, with the row that each repeats where it repeats one."""
    rows = []
    for reason, examples in mapping(funnel, "examples").items():
        for one in (examples if isinstance(examples, list) else [])[:PAIRS_SHOWN]:
            if isinstance(one, dict):
                score = num(one, "score")
                texts = [clipped(str(one.get(key) or ""), _WIDTH) for key in ("prompt", "other_prompt")]
                shown = f"{score:.2f}" if score is not None else ""
                rows.append([Cell(label(reason)), Cell(str(one.get("id", ""))), *map(Cell, texts), Cell(shown, score)])
    columns = [
        Column("reason", False),
        Column("row", False),
        Column("text", False),
        Column("repeats", False),
        Column("score"),
    ]
    return Table("Dropped rows, a few of each reason; dropped.jsonl has all", columns, rows) if rows else None
