"""Curation of one large source in passes over parts of it, which may run on many machines with one shared folder.

    spool      each part   read the rows; count them; sample their prompts
    measure    each part   from all counts and samples: row numbers, shared text; then the text rules and MinHash bands
    leaks      one task    decontamination: how many rows hold each 8-gram counts over all parts
    check      each part   put rules and verifiers to what is left
    single     one task    near-duplicates and conflicting answers, over all parts
    keep       each part   write what is left

The two passes that see all rows hold some 150 bytes a row and work on files; texts are read for the few pairs that are
compared closely. Each pass writes files of its own under `Job.folder`, so that a pass may be run again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.between import Folder, Places, Stored
from ringlite_cli.data.boilerplate import SAMPLE, Boilerplate, find_boilerplate
from ringlite_cli.data.curate import Steps, check_rows, copies_wanted, mark_doubtful, shared_texts
from ringlite_cli.data.decontaminate import find_leaks, leaks_of
from ringlite_cli.data.duplicates import find_copies
from ringlite_cli.data.features import BANDS, Features, GramFile, measure, merged
from ringlite_cli.data.output import write_drops
from ringlite_cli.data.rows import CuratedRow, Drop, Spool
from ringlite_cli.data.sources import MAX_UNREADABLE, check_readable, load_files, local_files
from ringlite_cli.data.text import NO_GRAMS, Grams
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verify, read_problems, write_problems
from ringlite_cli.recipe.schema import Source

_SPLIT = "train"
_FEWEST = 64  # prompts that each part gives to the sample at least


@dataclass(frozen=True)
class Job:
    """What all tasks of one curation share; executors hand it to them, so it must be a value that pickle knows.

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
            "gym": source.gym is not None,
            "rows": source.rows,
            "a split into several": isinstance(source.split, dict) or source.splits[0] != _SPLIT,
            "semantic passes": steps.semantic_duplicates or steps.semantic_contamination,
        }
        if found := [name for name, given in faults.items() if given]:
            hint = "give the files of a train split, and use `ringlite curate` for the rest"
            raise UserError(f"curation in parts does not support {', '.join(found)}", where="source", hint=hint)
        if not local_files(source):
            raise UserError("curation in parts needs files", where="source", hint="download the data set; give `path:`")

    @property
    def files(self) -> Folder:
        """Return what the passes leave for one another."""
        return Folder(self.folder)

    def drop(self, name: str, part: int, drops: Iterable[Drop]) -> None:
        """List dropped rows as dropped.jsonl of `ringlite curate` does."""
        write_drops(self.folder / "dropped" / f"{name}-{part:05}.jsonl", drops)

    def doubt(self, name: str, part: int, doubts: Iterable[Drop]) -> None:
        """List rows that stay although something speaks against their answer, as doubtful.jsonl does."""
        write_drops(self.folder / "doubtful" / f"{name}-{part:05}.jsonl", doubts)


def spool(job: Job, part: int) -> None:
    """Read the files of one part, and sample its prompts."""
    files = local_files(job.source)
    share = files[len(files) * part // job.parts : len(files) * (part + 1) // job.parts]
    texts = Spool(job.files.fresh("read", part))
    loaded, counted = load_files(job.source, share, texts)
    step = max(len(loaded.rows) // max(4 * SAMPLE // job.parts, _FEWEST), 1)
    sampled = (row.problem for row in loaded.rows[::step])
    job.files.write_lines("sample", part, ({"source": p.source, "prompt": p.prompt} for p in sampled))
    job.files.write_places("places", part, Places.of(loaded.rows, range(len(loaded.rows))))
    job.files.write_counted(part, counted)
    job.drop("spool", part, loaded.unreadable)
    texts.leave()


def measure_part(job: Job, part: int) -> None:
    """Number the rows of one part, take shared text off them, and measure them."""
    counted = [job.files.read_counted(p) for p in range(job.parts)]
    check_readable(job.source, counted, job.max_unreadable)
    before = sum(c.rows_in for c in counted[:part])
    boilerplate = _boilerplate(job)
    old, new = Spool.reopen(job.files.file("read", part)), Spool(job.files.fresh("measured", part))
    rows = job.files.read_places("places", part).rows(old, _SPLIT)
    for row in rows:
        row.problem = _numbered(row.problem, before)
        row.move_to(new)
    shared_texts(rows, boilerplate, job.steps.prompt_suffix)
    features = measure(rows, languages=job.steps.languages, workers=1, boilerplate=boilerplate)
    job.files.write_features(part, features)
    job.files.write_places("measured_places", part, Places.of(rows, range(len(rows))))
    new.leave()
    old.leave()


def leaks(job: Job) -> None:
    """Find the rows of all parts that repeat a held-out one."""
    held = [CuratedRow(problem, "eval") for path in job.held for problem in read_problems(path)]
    boilerplate = merged([_boilerplate(job), find_boilerplate(held)])
    with _opened(job, "measured", "measured_places") as rows:
        features = _features_of_all(job, boilerplate)
        held_features = measure(held, languages=job.steps.languages, boilerplate=boilerplate)
        found = find_leaks(rows, held, features, held_features)
        for part, places in enumerate(rows.split_up(found)):
            job.files.write_arrays("leaks", part, {"position": rows.parts[part].position[places]})
        job.drop("leaks", 0, leaks_of(found, rows, held))


def check(job: Job, part: int) -> None:
    """Put rules and verifiers to the rows of one part that are no leaks."""
    features = job.files.read_features(part)
    gone = set(job.files.read_arrays("leaks", part, "position")["position"].tolist())
    old, new = Spool.reopen(job.files.file("measured", part)), Spool(job.files.fresh("checked", part))
    measured = job.files.read_places("measured_places", part).rows(old, _SPLIT)
    rows = [row for row in measured if row.number not in gone]
    for row in rows:
        row.place = row.number
        row.move_to(new)
    with job.verify() as verify:
        checked = check_rows(rows, features, verify, job.steps)
    job.files.write_places("checked_places", part, Places.of(checked.kept, (r.number for r in checked.kept)))
    job.drop("check", part, checked.drops)
    job.doubt("check", part, checked.doubtful)
    new.leave()
    old.leave()


def single(job: Job) -> None:
    """Find copies and conflicting answers among the rows of all parts."""
    with _opened(job, "checked", "checked_places") as rows, job.verify() as verify:
        features = _features_of_rows(job, rows, _boilerplate(job))
        gone, doubtful = find_copies(rows, features, **copies_wanted(verify, job.steps))
        mark_doubtful(doubtful)
        for doubt in doubtful:
            assert isinstance(doubt.subject, CuratedRow)
            part = int(np.searchsorted(rows.starts, doubt.subject.place, "right")) - 1
            rows.parts[part].offset[doubt.subject.place - rows.starts[part]] = doubt.subject.offset
        for part, places in enumerate(rows.split_up(gone)):
            job.files.write_places("kept_places", part, rows.parts[part].without(places))
        job.drop("single", 0, (gone[place] for place in sorted(gone)))
        job.doubt("single", 0, doubtful)


def keep(job: Job, part: int) -> Iterator[Problem]:
    """Write the kept rows of one part to `kept/`, and yield them."""
    texts = Spool.reopen(job.files.file("checked", part))
    kept = job.files.read_places("kept_places", part).rows(texts, _SPLIT)
    write_problems(job.files.fresh("kept", part, ".parquet"), (row.problem for row in kept))
    for row in kept:
        yield row.problem
    texts.leave()


@contextmanager
def _opened(job: Job, texts: str, places: str) -> Iterator[Stored]:
    """The rows of all parts, in order, while their spools are open."""
    spools = [Spool.reopen(job.files.file(texts, part)) for part in range(job.parts)]
    try:
        yield Stored(spools, [job.files.read_places(places, part) for part in range(job.parts)], _SPLIT)
    finally:
        for spooled in spools:
            spooled.leave()


def _numbered(problem: Problem, before: int) -> Problem:
    """A problem with its row number in the whole source, in its id too where that is made of it."""
    index = problem.index + before
    made = f"{problem.source}:{problem.index}"
    ident = problem.id
    if ident == made or ident.startswith(f"{made}:"):
        ident = f"{problem.source}:{index}{ident[len(made) :]}"
    return replace(problem, id=ident, index=index)


def _boilerplate(job: Job) -> Boilerplate:
    """Return what the prompts of the whole source share, by the samples of all parts."""
    sampled = [
        CuratedRow(Problem("", "math", line["prompt"], source=line["source"]), _SPLIT)
        for part in range(job.parts)
        for line in job.files.read_lines("sample", part)
    ]
    return find_boilerplate(sampled)


def _features_of_all(job: Job, boilerplate: Boilerplate) -> Features:
    """What decontamination needs of all measured rows: no bands; the grams in a file that is mapped into memory."""
    parts, file = [], GramFile(job.folder / "grams.u64")
    for part in range(job.parts):
        arrays = job.files.read_arrays_of_features(part)
        arrays["bands"] = np.zeros((len(arrays["text"]), 0), np.uint64)
        parts.append(arrays)
        grams = job.files.read_arrays("grams", part, "hashes", "sizes")
        file.add(Grams(grams["hashes"], np.concatenate([[0], np.cumsum(grams["sizes"])]).astype(np.int64)))
    return _joined(parts, file.close(), boilerplate)


def _features_of_rows(job: Job, rows: Stored, boilerplate: Boilerplate) -> Features:
    """Return what is needed to find copies: no grams, the bands in a file that is mapped into memory, band by band."""
    path = job.folder / "bands.u64"
    bands = np.memmap(path, np.uint64, "w+", shape=(BANDS, len(rows))) if len(rows) else np.zeros((BANDS, 0), np.uint64)
    parts = []
    for part, start in enumerate(rows.starts[:-1]):
        measured = job.files.read_arrays_of_features(part)
        arrays = {name: array[rows.parts[part].position] for name, array in measured.items()}
        bands[:, start : start + len(arrays["text"])] = arrays["bands"].T
        arrays["bands"] = np.zeros((len(arrays["text"]), 0), np.uint64)
        parts.append(arrays)
    found = _joined(parts, NO_GRAMS, boilerplate)
    if isinstance(bands, np.memmap):
        bands.flush()
        bands = np.memmap(path, np.uint64, "r", shape=(BANDS, len(rows)))
        path.unlink()
    found.bands = bands.T
    return found


def _joined(parts: list[dict[str, NDArray[Any]]], grams: Grams, boilerplate: Boilerplate) -> Features:
    """The arrays of all parts as one, without reasons: no pass that sees all rows asks for them."""
    arrays: dict[str, Any] = {}
    for name in Features.ARRAYS:
        arrays[name] = np.concatenate([part.pop(name) for part in parts])
    return Features(**arrays, reasons=[], trace_reasons=[], grams=grams, boilerplate=boilerplate)
