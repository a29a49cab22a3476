"""Curation of one large source in passes over parts of it, which may run on many machines with one shared folder.

    spool      each part   read the rows; count them; sample their prompts
    measure    each part   from all counts and samples: row numbers, shared text; then the text rules and MinHash bands
    leaks      one task    decontamination: how many rows hold each 8-gram counts over all parts
    check      each part   put rules and verifiers to what is left
    single     one task    near-duplicates and conflicting answers, over all parts
    keep       each part   write what is left

The two passes that see all rows hold some 700 bytes a row and work on files; texts are read for the few pairs that are
compared closely. Each pass writes files of its own under `Job.folder`, so that a pass may be run again.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.data.boilerplate import SAMPLE, Boilerplate, find_boilerplate
from ringlite_cli.data.curate import Steps, check_rows, shared_texts, single_rows
from ringlite_cli.data.decontaminate import decontaminate
from ringlite_cli.data.features import Features, GramFile, join, measure, merged
from ringlite_cli.data.output import write_drops
from ringlite_cli.data.rows import Drop, Row, Spool
from ringlite_cli.data.sources import MAX_UNREADABLE, Counted, check_readable, load_files, local_files
from ringlite_cli.data.text import Grams
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verify, read_problems, write_problems
from ringlite_cli.recipe.schema import Source
from ringlite_cli.whole import whole

_SPLIT = "train"
_FEWEST = 64  # prompts that each part gives to the sample at least


@dataclass(frozen=True)
class Job:
    """What all tasks of one curation share; it is pickled to reach them.

    source:  files of one training source.   folder: where the passes leave their files; all machines must see it.
    parts:   into how many parts the source's files go.
    held:    sets that `ringlite curate` wrote and that the source must not repeat, as parquet files.
    verify:  opens the verifiers in the process of a task.   steps: the keys of a recipe's curate stage.
    """

    source: Source
    folder: Path
    parts: int
    verify: Callable[[], AbstractContextManager[Verify]]
    held: Sequence[Path] = ()
    steps: Steps = field(default_factory=Steps)
    max_unreadable: float = MAX_UNREADABLE

    def __post_init__(self) -> None:
        source, steps = self.source, self.steps
        faults = {
            "a generator": source.generator,
            "rows": source.rows,
            "a split into several": isinstance(source.split, dict) or source.splits[0] != _SPLIT,
            "semantic passes": steps.semantic_duplicates or steps.semantic_contamination,
        }
        if found := [name for name, given in faults.items() if given]:
            hint = "give the files of a train split, and use `ringlite curate` for the rest"
            raise UserError(f"curation in parts knows no {', '.join(found)}", where="source", hint=hint)
        if not local_files(source):
            raise UserError("curation in parts needs files", where="source", hint="download the data set; give `path:`")

    def path(self, kind: str, part: int) -> Path:
        """The file of one kind that belongs to a part."""
        return self.folder / kind / f"{part:05}"

    def write(self, kind: str, part: int, value: Any) -> None:
        """Write a value for later passes. The file takes its name when it is whole."""
        with whole(self.path(kind, part)) as partial:
            partial.write_bytes(pickle.dumps(value))

    def read(self, kind: str, part: int) -> Any:
        """Read what an earlier pass wrote."""
        path = self.path(kind, part)
        if not path.is_file():
            raise UserError(f"the pass that writes {kind} is not done", where=str(path), hint="run the passes in order")
        return pickle.loads(path.read_bytes())

    def drop(self, name: str, part: int, drops: Sequence[Drop]) -> None:
        """List dropped rows as dropped.jsonl of `ringlite curate` does."""
        write_drops(self.folder / "dropped" / f"{name}-{part:05}.jsonl", drops)


@dataclass(frozen=True)
class _Place:
    """Where a row of a part stands: its position in the part, its place in the part's spool, and what is known."""

    position: int
    offset: int
    strict: bool = False
    verified: str = ""

    def row(self, spool: Spool) -> Row:
        row = Row.spooled(spool, self.offset, _SPLIT)
        row.strict, row.verified, row.number = self.strict, self.verified, self.position
        return row


def spool(job: Job, part: int) -> None:
    """Read the files of one part, and sample its prompts."""
    files = local_files(job.source)
    share = files[len(files) * part // job.parts : len(files) * (part + 1) // job.parts]
    job.path("read", part).parent.mkdir(parents=True, exist_ok=True)
    texts = Spool(job.path("read", part))
    loaded, counted = load_files(job.source, share, texts)
    step = max(len(loaded.rows) // max(4 * SAMPLE // job.parts, _FEWEST), 1)
    job.write("sample", part, [(p.source, p.prompt) for p in (r.problem for r in loaded.rows[::step])])
    places = [_Place(n, row.offset, row.strict) for n, row in enumerate(loaded.rows)]
    job.write("places", part, places)
    job.write("counted", part, counted)
    job.drop("spool", part, loaded.unreadable)
    texts.leave()


def measure_part(job: Job, part: int) -> None:
    """Number the rows of one part, take shared text off them, and measure them."""
    counted: list[Counted] = [job.read("counted", p) for p in range(job.parts)]
    check_readable(job.source, counted, job.max_unreadable)
    before = sum(c.rows_in for c in counted[:part])
    boilerplate = _boilerplate(job)
    old, new = Spool.reopen(job.path("read", part)), Spool(_fresh(job, "measured", part))
    rows = []
    for place in job.read("places", part):
        row = place.row(old)
        row.problem = _numbered(row.problem, before)
        row.move_to(new)
        rows.append(row)
    shared_texts(rows, boilerplate, job.steps.prompt_suffix)
    features = measure(rows, languages=job.steps.languages, workers=1, boilerplate=boilerplate)
    np.save(_fresh(job, "grams", part).with_suffix(".npy"), features.grams.hashes)
    sizes = np.diff(features.grams.offsets)
    features.grams, features.boilerplate = _no_grams(), Boilerplate()
    job.write("features", part, (features, sizes))
    job.write("measured_places", part, [_Place(r.number, r.offset, r.strict) for r in rows])
    new.leave()
    old.leave()


def leaks(job: Job) -> None:
    """Find the rows of all parts that repeat a held-out one."""
    held = [Row(problem, "eval") for path in job.held for problem in read_problems(path)]
    boilerplate = merged([_boilerplate(job), find_boilerplate(held)])
    with _Opened(job, "measured", "measured_places") as opened:
        features = _features(job, boilerplate, with_grams=True)
        held_features = measure(held, languages=job.steps.languages, boilerplate=boilerplate)
        drops = decontaminate(opened.rows, held, features, held_features).drops
        gone = _by_part(opened, [drop.subject for drop in drops if isinstance(drop.subject, Row)])
        for part in range(job.parts):
            job.write("leaks", part, {row.number for row in gone[part]})
        job.drop("leaks", 0, drops)


def check(job: Job, part: int) -> None:
    """Put rules and verifiers to the rows of one part that are no leaks."""
    features, _ = job.read("features", part)
    gone = job.read("leaks", part)
    old, new = Spool.reopen(job.path("measured", part)), Spool(_fresh(job, "checked", part))
    rows = [place.row(old) for place in job.read("measured_places", part) if place.position not in gone]
    for row in rows:
        row.place = row.number
        row.move_to(new)
    with job.verify() as verify:
        checked = check_rows(rows, features, verify, job.steps)
    kept = [_Place(r.number, r.offset, r.strict, r.verified) for r in checked.kept]
    job.write("checked_places", part, kept)
    job.drop("check", part, checked.drops)
    new.leave()
    old.leave()


def single(job: Job) -> None:
    """Find copies and conflicting answers among the rows of all parts."""
    with _Opened(job, "checked", "checked_places") as opened, job.verify() as verify:
        features = _features(job, _boilerplate(job))
        starts = np.cumsum([0, *(len(job.read("measured_places", p)) for p in range(job.parts))])
        for part, rows in enumerate(opened.by_part):
            for row in rows:
                row.place = int(starts[part]) + row.number
        found = single_rows(opened.rows, features, verify, job.steps)
        for part, rows in enumerate(_by_part(opened, found.kept)):
            job.write("kept_places", part, [_Place(r.number, r.offset, r.strict, r.verified) for r in rows])
        job.drop("single", 0, found.drops)


def keep(job: Job, part: int) -> Iterator[Problem]:
    """Write the kept rows of one part to `kept/`, and yield them."""
    texts = Spool.reopen(job.path("checked", part))
    kept = [place.row(texts) for place in job.read("kept_places", part)]
    write_problems(_fresh(job, "kept", part).with_suffix(".parquet"), (row.problem for row in kept))
    for row in kept:
        yield row.problem
    texts.leave()


class _Opened:
    """The rows of all parts, in order, while their spools are open."""

    def __init__(self, job: Job, texts: str, places: str) -> None:
        self.spools = [Spool.reopen(job.path(texts, part)) for part in range(job.parts)]
        self.by_part = [
            [place.row(spooled) for place in job.read(places, part)] for part, spooled in enumerate(self.spools)
        ]
        self.rows = [row for rows in self.by_part for row in rows]

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        for spooled in self.spools:
            spooled.leave()


def _by_part(opened: _Opened, rows: Sequence[Row]) -> list[list[Row]]:
    parts = {id(spooled): number for number, spooled in enumerate(opened.spools)}
    found: list[list[Row]] = [[] for _ in opened.spools]
    for row in rows:
        found[parts[id(row.spool)]].append(row)
    return found


def _fresh(job: Job, kind: str, part: int) -> Path:
    path = job.path(kind, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _numbered(problem: Problem, before: int) -> Problem:
    """A problem with its row number in the whole source, in its id too where that is made of it."""
    index = problem.index + before
    made = f"{problem.source}:{problem.index}"
    ident = problem.id
    if ident == made or ident.startswith(f"{made}:"):
        ident = f"{problem.source}:{index}{ident[len(made) :]}"
    return replace(problem, id=ident, index=index)


def _boilerplate(job: Job) -> Boilerplate:
    """What the prompts of the whole source share, by the samples of all parts."""
    sampled = [
        Row(Problem("", "math", prompt, source=source), _SPLIT)
        for part in range(job.parts)
        for source, prompt in job.read("sample", part)
    ]
    return find_boilerplate(sampled)


def _features(job: Job, boilerplate: Boilerplate, *, with_grams: bool = False) -> Features:
    """The features of all parts as one; the grams in a file that is mapped into memory, where they are wanted."""
    parts: list[Features] = []
    file = GramFile(job.folder / "grams.u64") if with_grams else None
    for part in range(job.parts):
        features, sizes = job.read("features", part)
        parts.append(features)
        if file:
            hashes = np.load(job.path("grams", part).with_suffix(".npy"))
            file.add(Grams(hashes, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)))
    found = join(parts, file.close() if file else _no_grams())
    found.boilerplate = boilerplate
    return found


def _no_grams() -> Grams:
    return Grams(np.zeros(0, np.uint64), np.zeros(1, np.int64))
