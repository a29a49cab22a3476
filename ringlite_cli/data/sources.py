"""Loads the sources of a recipe: local files, hub data sets (or the local files that stand in for them), generators."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from ringlite_cli.data.adapters import EDUCATION, OPEN_SCHEMAS, Adapter, BadRow, Fields, choose, every_turn
from ringlite_cli.data.adapters.beside import lacks_choices, shows_picture
from ringlite_cli.data.adapters.columns import Columns
from ringlite_cli.data.adapters.fields import Raw, single
from ringlite_cli.data.adapters.thoughts import with_answer_tags
from ringlite_cli.data.games.drawing import Drawing, forget, read_options
from ringlite_cli.data.games.making import Maker, require_installed
from ringlite_cli.data.needs import BOXED
from ringlite_cli.data.readers import RawRow, Unreadable, read_file, read_hub
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Spool, ticking
from ringlite_cli.data.rules.choices import CHOICES_BESIDE
from ringlite_cli.data.shards import shards
from ringlite_cli.data.solutions import answer_of, without_unit
from ringlite_cli.data.splitting import split_rows
from ringlite_cli.data.text import stable_hash
from ringlite_cli.data_folder import data_folder
from ringlite_cli.errors import UserError
from ringlite_cli.problems import DOMAINS, REFERENCED, Problem, route
from ringlite_cli.recipe.curation import GYM
from ringlite_cli.recipe.schema import Source

MAX_UNREADABLE = 0.2
_TOLD = 2000  # rows between two words on progress


class GeneratorLike(Protocol):
    """What a procedural source must be able to do."""

    @property
    def domain(self) -> str: ...

    def generate(
        self, rows: int, seed: int, split: str = ..., options: Mapping[str, Any] | None = ...
    ) -> Iterator[Problem]: ...


@dataclass
class Loaded:
    """A source that was read: its name in every file that curation writes, its rows, and what could not be read.

    drawing: what came of its games, where it is one of those.
    """

    name: str
    rows: list[CuratedRow] = field(default_factory=list)
    unreadable: list[Drop] = field(default_factory=list)
    spool: Spool | None = None
    drawing: Drawing | None = None

    @property
    def rows_in(self) -> int:
        return len(self.rows) + len(self.unreadable)

    def add(
        self, problem: Problem, split: str, ids: set[int], *, procedural: bool = False, strict: bool = False
    ) -> None:
        """Keep a row, under an id of its own: its given one, or its source and index where that is taken."""
        key = stable_hash(problem.id)
        if key in ids:
            problem = replace(problem, id=f"{problem.source}:{problem.index}")
            key = stable_hash(problem.id)
        ids.add(key)
        row = CuratedRow(problem, split, procedural)
        row.strict = procedural or strict
        if self.spool:
            row.move_to(self.spool)
        self.rows.append(row)


def load_sources(
    sources: Sequence[Source],
    *,
    seed: int,
    generators: Mapping[str, GeneratorLike],
    max_unreadable: float = MAX_UNREADABLE,
    spool: Spool | None = None,
    progress: Progress | None = None,
) -> list[Loaded]:
    """Read every source, in order; texts go to the spool, where one is given.

    Raises UserError where a source is missing, empty, or mostly unreadable.
    """
    taken: set[str] = set()
    ids: set[int] = set()
    loaded = []
    try:
        with Maker() as maker:
            for source in sources:
                name = _unique_name(source, taken)
                taken.add(name)
                if source.generator:
                    loaded.append(_generate(source, Loaded(name, spool=spool), seed, generators, ids))
                elif source.gym is not None:
                    loaded.append(_play(source, Loaded(name, spool=spool), seed, ids, maker, progress))
                else:
                    loaded.append(_read(source, Loaded(name, spool=spool), max_unreadable, ids, progress))
                    if isinstance(source.split, dict):
                        folder = spool.path.parent if spool else None
                        split_rows(loaded[-1].rows, source.split, seed, folder=folder, progress=progress)
    finally:
        forget()
    return loaded


def local_path(source: Source) -> Path | None:
    """The file, folder or glob that a source is read from; None where the hub is asked, for want of a stand-in."""
    if source.path:
        return Path(source.path).expanduser()
    folder = data_folder()
    stand_in = folder / source.local if folder and source.local else None
    return stand_in if stand_in and stand_in.exists() else None


def local_files(source: Source) -> list[Path]:
    """The files that a source is read from; [] where it is no file. Raises UserError where there are none."""
    path = local_path(source)
    return shards(path, source.hub_split) if path else []


def _unique_name(source: Source, taken: set[str]) -> str:
    """The file name, hub id, generator or reasoning-gym; where that is taken, with the folder or split before it."""
    path = local_path(source)
    name = path.name if path else source.name
    split = "-".join(source.splits)
    more = [name, f"{path.parent.name}/{name}" if path else f"{split}/{name}", f"{split}/{name}"]
    more += [f"{name}#{n}" for n in range(2, len(taken) + 3)]
    return next(n for n in more if n not in taken)


def _generate(
    source: Source, loaded: Loaded, seed: int, generators: Mapping[str, GeneratorLike], ids: set[int]
) -> Loaded:
    generator = generators.get(source.generator or "")
    if generator is None:
        raise UserError(f"no generator {source.generator!r}", where="sources", hint=f"known: {', '.join(generators)}")
    (split,) = source.splits
    for index, made in enumerate(generator.generate(source.rows or 0, seed, split, source.options)):
        problem = replace(made, source=loaded.name, index=index, domain=source.domain or made.domain)
        problem = replace(problem, verifier=source.verifier or problem.verifier)
        loaded.add(problem, split, ids, procedural=True)
    return loaded


def _play(source: Source, loaded: Loaded, seed: int, ids: set[int], maker: Maker, progress: Progress | None) -> Loaded:
    (split,) = source.splits
    loaded.drawing = draw(source, seed, maker)
    wanted = source.rows or 0
    what = f"making problems of {loaded.name}"
    for index, made in enumerate(ticking(loaded.drawing.problems(wanted), what, progress, wanted)):
        problem = replace(made, source=loaded.name, index=index, domain=source.domain or made.domain)
        loaded.add(problem, split, ids, procedural=True)
    return loaded


def draw(source: Source, seed: int, maker: Maker) -> Drawing:
    """Return the problems of a gym source. Raises UserError where reasoning-gym is missing, or an option is wrong."""
    (split,) = source.splits
    require_installed(GYM)
    return Drawing(
        source.gym or {}, seed if source.seed is None else source.seed, split, read_options(source.options), maker
    )


@dataclass(frozen=True)
class Counted:
    """How many rows of a source, or of a part of it, were read; what may be wrong with all of them.

    first: the first row that can't be read, and why.   faults: columns that no row has.
    """

    rows_in: int
    unreadable: int
    first: str
    faults: Sequence[str] = ()


def load_files(source: Source, files: Sequence[Path], spool: Spool) -> tuple[Loaded, Counted]:
    """Read some of a source's files, rows numbered from 0, under the name that the whole source has.

    Whether so much of it can be read is asked when all parts are counted: see `check_readable`.
    """
    loaded = Loaded(_unique_name(source, set()), spool=spool)
    return loaded, _read_rows(source, loaded, set(), None, files) if files else Counted(0, 0, "")


def read_first(source: Source, rows: int) -> tuple[Loaded, Counted]:
    """Read at most so many of a source's first rows, to see whether they can be read at all."""
    loaded = Loaded(_unique_name(source, set()))
    return loaded, _read_rows(source.model_copy(update={"rows": rows}), loaded, set(), None)


def _read(source: Source, loaded: Loaded, max_unreadable: float, ids: set[int], progress: Progress | None) -> Loaded:
    check_readable(source, [_read_rows(source, loaded, ids, progress)], max_unreadable)
    return loaded


def _where(source: Source) -> str:
    return str(local_path(source) or f"hub {source.hub}")


def _read_rows(
    source: Source, loaded: Loaded, ids: set[int], progress: Progress | None, files: Sequence[Path] | None = None
) -> Counted:
    adapter, domain = choose(source.adapter, source.columns, _where(source), source.verifier or "")
    name = loaded.name
    for index, raw in enumerate(_raw_rows(source, files)):
        if index == source.rows:
            break
        if progress and index % _TOLD == 0:
            progress(f"reading {name}", index, source.rows or index)
        problem = Problem(f"{name}:{index}", source.domain or domain, "", source=name, index=index)
        try:
            for made in _problems(problem, raw, adapter, source):
                loaded.add(made, source.splits[0], ids, strict=source.adapter not in OPEN_SCHEMAS)
        except BadRow as error:
            text = raw.text if isinstance(raw, Unreadable) else repr(dict(raw))[:200]
            loaded.unreadable.append(Drop(replace(problem, prompt=_utf8(text)), "unreadable_row", _utf8(str(error))))
    first = loaded.unreadable[0] if loaded.unreadable else None
    why = f"row {first.problem.index}: {first.detail}" if first else ""
    faults = adapter.faults() if isinstance(adapter, Columns) else []
    return Counted(loaded.rows_in, len(loaded.unreadable), why, faults)


def _raw_rows(source: Source, files: Sequence[Path] | None = None) -> Iterator[RawRow]:
    files = files or local_files(source)
    if files:
        return chain.from_iterable(read_file(file, source.encoding) for file in files)
    return read_hub(source.hub or "", revision=source.revision, subset=source.subset, split=source.hub_split)


def _problems(blank: Problem, raw: RawRow, adapter: Adapter, source: Source) -> list[Problem]:
    """The problems of a row: one, or one for each answered turn of its conversation."""
    if isinstance(raw, Unreadable):
        raise BadRow(raw.why)
    if source.turns == "last":
        return [_problem(blank, adapter(raw), source, raw)]
    found = [_problem(blank, fields, source, raw) for fields in every_turn(adapter, raw)]
    return [replace(p, id=f"{p.id}:{turn}") if turn else p for turn, p in enumerate(found)]


def _problem(blank: Problem, fields: Fields, source: Source, raw: Raw) -> Problem:
    if source.domain:
        fields["domain"] = source.domain
    if source.verifier:
        fields["verifier"] = source.verifier
    problem = replace(blank, **fields)
    if source.adapter in EDUCATION:
        problem.labels.setdefault("education", EDUCATION[source.adapter])
    if problem.answer and route(problem) not in REFERENCED:  # whose words count, those in brackets too
        bare = without_unit(single(problem.answer))
        problem = replace(problem, answer=bare) if bare != problem.answer else problem
    if problem.trace and route(problem) == "logic-gym":
        problem = replace(problem, trace=with_answer_tags(problem.trace))
    _note_beside(problem, raw)
    if answer := answer_of(problem):
        problem = replace(problem, answer=answer, labels={**problem.labels, "answer_from": "trace"})
    if problem.domain not in DOMAINS:
        raise BadRow(f"unknown domain {problem.domain!r}; known: {', '.join(DOMAINS)}")
    if route(problem) in BOXED and _is_object(problem.answer):
        raise BadRow("the answer is a dict")
    if not _is_utf8(problem):
        raise BadRow("broken Unicode (a lone surrogate) that UTF-8 can't store")
    return problem


def _note_beside(problem: Problem, raw: Raw) -> None:
    """Label a row that has a picture or choices in columns which its prompt lacks: rules ask for these labels."""
    if "pictures" not in problem.labels and shows_picture(raw):
        problem.labels["pictures"] = 1
    if lacks_choices(raw, problem.prompt, problem.answer):
        problem.labels[CHOICES_BESIDE] = True


def _is_object(answer: str | None) -> bool:
    """Return whether an answer is JSON text of an object, which only some routes read."""
    if not (answer or "").startswith('{"'):
        return False
    try:
        return isinstance(json.loads(answer or ""), dict)
    except ValueError:
        return False


def _is_utf8(problem: Problem) -> bool:
    try:
        for text in (problem.prompt, problem.answer, problem.trace):
            if text and not text.isascii():
                text.encode()
        for nested in (problem.tests, problem.labels):
            if nested:
                json.dumps(nested, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except TypeError:
        raise BadRow("its tests or labels hold a value that JSON can't store") from None
    return True


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def check_readable(source: Source, parts: Sequence[Counted], max_unreadable: float = MAX_UNREADABLE) -> None:
    """Raise UserError where a source, read in one part or several, is empty, mostly unreadable or lacks a column."""
    where = _where(source)
    parts = [part for part in parts if part.rows_in]
    rows_in, unreadable = sum(p.rows_in for p in parts), sum(p.unreadable for p in parts)
    if not rows_in:
        raise UserError("the source is empty", where=where, hint="check the file, or take the source out")
    if unreadable > max_unreadable * rows_in:
        first = next(part.first for part in parts if part.first)
        raise UserError(
            f"{unreadable} of {rows_in} rows can't be read; {first}",
            where=where,
            hint="name its `encoding:`, as in gb18030 or cp1252"
            if "not UTF-8" in first
            else "check `adapter:` or `columns:`, mend the file, or raise max_unreadable",
        )
    absent = [{fault.partition(";")[0] for fault in part.faults} for part in parts]
    if lacking := [fault for fault in parts[0].faults if all(fault.partition(";")[0] in names for names in absent)]:
        raise UserError(lacking[0], where=where, hint="mend `columns:`")
