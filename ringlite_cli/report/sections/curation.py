"""The funnel: rows in, dropped by reason, out; per domain and per source; and the sets that came out."""

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.figures import Bar, Figure, Key, bars
from ringlite_cli.report.files import JsonRow, mapping, num, numbers
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import curated
from ringlite_cli.report.sections.common import opening
from ringlite_cli.report.words import count, label, percent

SOURCES_DRAWN = 16


def section(run: Run, pens: Pens) -> Section:
    page = Section("curation", "Curation")
    stages = run.of("curate")
    if not stages:
        page.say("No curate stage in this run.", "missing")
    for stage in stages:
        page.blocks += opening(stage, stages)
        funnel = funnel_of(stage)
        if not funnel:
            page.say(f"{stage.name}/funnel.json is missing or unreadable.", "missing")
            continue
        page.say(sentence(funnel), "lead")
        page.say(_tally(funnel, "verified_by", "Rows kept, by what verified them"), "note")
        page.say(_tally(funnel, "traces_stripped", "Rows kept without their worked trace"), "note")
        _draw(page, funnel, pens)
        page.blocks += [t for t in (_groups(funnel, "by_domain"), _groups(funnel, "by_source"), _sets(funnel)) if t]
        curated.add(page, funnel, pens)
    return page


def funnel_of(stage: Stage) -> JsonRow:
    """The funnel, from its file or from the manifest's metrics; {} where neither has one."""
    for found in (stage.load("funnel.json"), stage.manifest.get("metrics")):
        if isinstance(found, dict) and num(found, "rows_in") is not None:
            return found
    return {}


def sentence(funnel: JsonRow) -> str:
    """Rows in, rows out, and the reason that dropped most."""
    rows_in, out, dropped = num(funnel, "rows_in"), num(funnel, "out"), numbers(mapping(funnel, "dropped"))
    if not rows_in or out is None:
        return ""
    words = f"Of {count(rows_in)} rows, {count(out)} were kept ({percent(out / rows_in)})"
    if dropped:
        most = max(dropped, key=lambda reason: dropped[reason])
        words += f" and {count(sum(dropped.values()))} dropped for {len(dropped)} reasons, most of them for "
        words += f"“{label(most)}” ({count(dropped[most])})"
    return words + "."


def _tally(funnel: JsonRow, key: str, what: str) -> str:
    """One line of counts by name; "" where there are none."""
    counts = numbers(mapping(funnel, key))
    return f"{what}: " + ", ".join(f"{label(name)} {count(n)}" for name, n in counts.items()) + "." if counts else ""


def _draw(page: Section, funnel: JsonRow, pens: Pens) -> None:
    kept_dropped = [Key("kept", "c-kept", "area"), Key("dropped", "c-dropped", "area")]
    domains = [_split(name, row) for name, row in mapping(funnel, "by_domain").items()]
    sources = [_split(name, row) for name, row in mapping(funnel, "by_source").items()]
    reasons = sorted(numbers(mapping(funnel, "dropped")).items(), key=lambda pair: -pair[1])
    page.figures(
        _waterfall(funnel, pens),
        bars(
            pens.sheet, "Reasons for dropping a row", [Bar(label(r), [("c-dropped", n)], count(n)) for r, n in reasons]
        ),
        bars(
            pens.sheet,
            "Rows kept, by domain and by source",
            [*domains, Bar("", [], ""), *sources[:SOURCES_DRAWN]],
            kept_dropped,
        ),
    )


def _waterfall(funnel: JsonRow, pens: Pens) -> Figure | None:
    """Every reason takes its rows off the end of the bar above."""
    left = num(funnel, "rows_in") or 0.0
    rows = [Bar("rows in", [("c-all", left)], count(left))]
    for reason, dropped in numbers(mapping(funnel, "dropped")).items():
        left = max(left - dropped, 0.0)
        rows.append(Bar(label(reason), [("c-dropped", dropped)], count(-dropped), start=left))
    out = num(funnel, "out") or 0.0
    return bars(pens.sheet, "Rows in, dropped by reason, out", [*rows, Bar("out", [("c-kept", out)], count(out))])


def _split(name: str, row: object) -> Bar:
    rows_in, out = num(row, "rows_in") or 0.0, num(row, "out") or 0.0
    shown = percent(out / rows_in) if rows_in else "–"
    return Bar(name or "(none)", [("c-kept", out), ("c-dropped", max(rows_in - out, 0.0))], shown)


def _groups(funnel: JsonRow, key: str) -> Table | None:
    """Rows in, each reason, out and the share kept, a row per domain or source."""
    groups = mapping(funnel, key)
    if not groups:
        return None
    reasons = list(numbers(mapping(funnel, "dropped")))
    what = key.removeprefix("by_")
    columns = [
        Column(what, False),
        Column("rows in"),
        *(Column(label(r)) for r in reasons),
        Column("out"),
        Column("kept"),
    ]
    rows = []
    for name, row in groups.items():
        dropped = numbers(mapping(row, "dropped"))
        rows_in, out = num(row, "rows_in"), num(row, "out")
        share = out / rows_in if rows_in and out is not None else None
        middle = [Cell(count(n) if n else "·", n, "" if n else "quiet") for n in (dropped.get(r, 0.0) for r in reasons)]
        ends = [Cell(count(out), out), Cell(percent(share), share)]
        rows.append([Cell(name or "(none)"), Cell(count(rows_in), rows_in), *middle, *ends])
    return Table(f"Rows by {what}: in, dropped by reason, out", columns, rows)


def _sets(funnel: JsonRow) -> Table | None:
    sets = mapping(funnel, "sets")
    if not sets:
        return None
    domains = list(dict.fromkeys(d for row in sets.values() for d in numbers(mapping(row, "by_domain"))))
    rows = []
    for name, row in sets.items():
        counts = numbers(mapping(row, "by_domain"))
        parts = [Cell(count(counts.get(d, 0.0)), counts.get(d, 0.0)) for d in domains]
        rows.append([Cell(name), Cell(count(num(row, "rows")), num(row, "rows")), *parts])
    return Table("Sets that later stages use", [Column("set", False), Column("rows"), *map(Column, domains)], rows)
