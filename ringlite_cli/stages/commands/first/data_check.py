"""`ringlite data check FILE`: how a file is read, what curation keeps of it and why not the rest, lengths, labels."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.data.card import reason_in_words
from ringlite_cli.data.guessing import Reading, open_file
from ringlite_cli.problems import DEFAULT_SUFFIX, Problem
from ringlite_cli.recipe.schema import Rewards
from ringlite_cli.stages.base import open_verifiers
from ringlite_cli.stages.commands.first.file import Curated, curate_file, routes
from ringlite_cli.stages.commands.first.lengths import check_room, measure, spread
from ringlite_cli.stages.commands.first.model import look_at_model

_TEXT = 160
_VALUES = 6


def check_file(
    path: Path,
    console: Console,
    *,
    model: str = "",
    columns: str = "",
    domain: str | None = None,
    rows: int,
    shown: int,
) -> None:
    """Print what was found. Raises UserError where the file can't be read, or the model not be looked at."""
    reading = open_file(path, columns, domain)
    looked = look_at_model(model) if model else None
    _say_reading(reading, shown, console)
    with open_verifiers(Rewards()) as verify:
        found = curate_file(reading, verify, suffix=DEFAULT_SUFFIX, most=rows)
    _say_mapped(found.kept, shown, console)
    _say_kept(found, console)
    if found.kept:
        _say_labels(found.kept, console)
        console.head("Lengths")
        lengths = measure(found.kept, looked.tokenizer if looked else None, DEFAULT_SUFFIX)
        unit = "tokens" if looked and not lengths.guessed else "tokens, guessed from characters (--model counts them)"
        console.say(f"  prompts {spread(lengths.prompts)} {unit}")
        console.say(f"  traces  {spread(lengths.traces)}")
        if looked:
            console.say(f"  model   {looked.in_words}")
            for note in (*looked.notes, *check_room(lengths, looked.positions)):
                console.warn(note)
            for unknown in looked.unknown:
                console.warn(f"could not be found out: {unknown}")
    console.say(f"next: ringlite new NAME --data {path}" + (f" --model {model}" if model else " --model PATH_OR_ID"))


def _say_reading(reading: Reading, shown: int, console: Console) -> None:
    console.head(f"{reading.path}")
    names = list(dict.fromkeys(name for row in reading.rows for name in row))
    console.say(f"  columns  {', '.join(names)}")
    console.say(f"  read as  {reading.guess.in_words}" + (f"; domain {reading.domain}" if reading.domain else ""))
    for why in reading.guess.why:
        console.say(f"           {why}")
    for number, row in enumerate(reading.rows[:shown]):
        console.say(f"  row {number}    {_short(json.dumps(dict(row), ensure_ascii=False, default=str))}")
    if reading.unreadable:
        console.warn(f"{reading.unreadable} of the first {reading.unreadable + len(reading.rows)} rows can't be read")


def _say_mapped(problems: Sequence[Problem], shown: int, console: Console) -> None:
    for problem in problems[:shown]:
        console.head(f"Row {problem.index} as a problem of {problem.domain}")
        fields = {"prompt": problem.prompt, "answer": problem.answer, "trace": problem.trace, "tests": problem.tests}
        for name, value in fields.items():
            if value is not None:
                console.say(f"  {name:<7} {_short(value if isinstance(value, str) else json.dumps(value))}")
        labels = {name: value for name, value in problem.labels.items() if _is_plain(value)}
        if labels:
            console.say(f"  labels  {_short(', '.join(f'{name} {value}' for name, value in labels.items()))}")


def _say_kept(found: Curated, console: Console) -> None:
    console.head("Curation")
    part = "" if found.whole else "first "
    console.say(f"  {len(found.kept):,} of the {part}{found.read:,} rows stay")
    scored, traced = found.sets["scored"], found.sets["traces"]
    verifiers = ", ".join(f"{name} {count:,}" for name, count in routes(scored).items())
    console.say(f"  {len(scored):,} have something to verify a response by" + (f" ({verifiers})" if verifiers else ""))
    console.say(f"  {len(traced):,} have a worked trace to train on")
    for reason, row, detail in found.examples:
        about = reason_in_words(reason)
        console.say(f"  {found.reasons[reason]:,} left out: {reason}" + (f" ({about})" if about else ""))
        console.say(f"      first: row {row}" + (f": {_short(detail)}" if detail else ""))
    for reason, number in found.stripped.items():
        about = reason_in_words(reason)
        console.say(f"  {number:,} stay without their trace: {reason}" + (f" ({about})" if about else ""))
    for warning in found.warnings:
        if "data card" not in warning:
            console.warn(warning)


def _say_labels(problems: Sequence[Problem], console: Console) -> None:
    values: dict[str, Counter[str]] = {}
    for problem in problems:
        values.setdefault("domain", Counter())[problem.domain] += 1
        for name, value in problem.labels.items():
            if _is_plain(value):
                values.setdefault(name, Counter())[str(value)] += 1
    console.head("Labels")
    for name, counts in values.items():
        console.say(f"  {name:<14} {_counted(counts)}")


def _counted(counts: Counter[str]) -> str:
    told = ", ".join(f"{_short(value, 40)} {number:,}" for value, number in counts.most_common(_VALUES))
    return told + (f" and {len(counts) - _VALUES:,} other values" if len(counts) > _VALUES else "")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, Mapping)


def _short(text: str, width: int = _TEXT) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 4] + " ..."
