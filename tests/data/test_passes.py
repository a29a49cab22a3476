"""Curation in parts gives the rows that `curate` gives: by the passes alone, and on datatrove's executor."""

import importlib
import json
import pickle
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curation_helpers import exact_match

from ringlite_cli.data import passes
from ringlite_cli.data.curate import Steps, curate
from ringlite_cli.data.passes import Job
from ringlite_cli.data.rows import Spool
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verify, read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source

COLUMNS = {"prompt": "q", "answer": "a", "trace": "s"}
NOUNS = ["amber", "bridge", "candle", "dragon", "ember", "forest", "garden", "harbor", "island", "jungle", "kettle"]
TAIL = " Think it over one step after the other."


@contextmanager
def matched() -> Iterator[Verify]:
    yield exact_match


def _lines(number: int, seed: int) -> list[dict[str, str | None]]:
    """Story problems; some repeat others of any part, conflict with them, have wrong solutions or need a figure."""
    rng = random.Random(seed)
    lines: list[dict[str, str | None]] = []
    for n in range(number):
        words = " ".join(rng.choices(NOUNS, k=28))
        q = f"In a {words} there are {n + seed * 1000} stones and {n % 7 + 2} more, how many stones are there?"
        line: dict[str, str | None] = {"q": q, "a": str(2 * n), "s": f"So it is \\boxed{{{2 * n}}}."}
        if lines and n % 5 == 1:
            line = dict(lines[rng.randrange(len(lines))])
            if n % 10 == 1:
                line["q"] = (line["q"] or "").replace("In a", "Inside the")
            elif n % 20 == 6:
                line |= {"a": "7", "s": None}
        elif n % 11 == 3:
            line["s"] = "So it is \\boxed{12345}."
        elif n % 13 == 4:
            line["q"] = q.replace("?", ", as the figure below shows?")
        lines.append({**line, "q": (line["q"] or "").removesuffix(TAIL) + (TAIL if n % 3 else "")})
    return lines


def _write(path: Path, lines: list[dict[str, str | None]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def local(tmp_path: Path) -> tuple[Job, list[str], dict[str, int]]:
    """(the same curation as a job of three parts, the ids that `curate` keeps, its count of each reason)."""
    lines, held = _lines(200, 1), _lines(20, 2)
    for n in range(0, 200, 25):
        lines[n] = held[n // 25] | {"q": f"Question {n}. {held[n // 25]['q']}"}
    for shard in range(5):
        _write(tmp_path / "shards" / f"{shard}.jsonl", lines[shard * 40 : shard * 40 + 40 - shard % 2])
    _write(tmp_path / "held.jsonl", held)
    train = Source(path=str(tmp_path / "shards"), columns=COLUMNS, domain="math")
    sources = [train, Source(path=str(tmp_path / "held.jsonl"), columns=COLUMNS, domain="math", split="eval")]
    sets = {"train": ProblemSet(), "eval": ProblemSet(split="eval")}
    done = curate(sources, sets, exact_match, tmp_path / "local", seed=1, generators={})
    job = Job(train, tmp_path / "job", 3, matched, held=[done.sets["eval"]])
    kept = [p.id for p in read_problems(done.sets["train"])]
    return job, sorted(kept), done.funnel["dropped"]


def _kept(job: Job) -> list[str]:
    return sorted(p.id for path in sorted((job.folder / "kept").glob("*.parquet")) for p in read_problems(path))


def _reasons(job: Job) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in (job.folder / "dropped").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            reason = json.loads(line)["reason"]
            found[reason] = found.get(reason, 0) + 1
    return found


def _run(job: Job) -> None:
    for part in range(job.parts):
        passes.spool(job, part)
    for part in range(job.parts):
        passes.measure_part(job, part)
    passes.leaks(job)
    for part in reversed(range(job.parts)):
        passes.check(job, part)
    passes.single(job)
    for part in range(job.parts):
        list(passes.keep(job, part))


def test_parts_give_the_rows_and_the_reasons_of_the_whole(local: tuple[Job, list[str], dict[str, int]]) -> None:
    job, kept, reasons = local
    wanted = {"contamination", "duplicate_exact", "duplicate_near", "answer_disagrees", "image_needed"}
    assert wanted <= set(reasons), reasons
    for parts in (1, 3, 7):
        other = replace(job, parts=parts, folder=job.folder / str(parts))
        _run(other)
        assert _kept(other) == kept
        assert _reasons(other) == reasons


def test_doubtful_rows_stay_with_their_label_where_the_recipe_keeps_them(tmp_path: Path) -> None:
    """Conflicting answers in two parts: one row stays, in the text of the label too, and is listed."""
    lines = _lines(12, 4)
    lines.append(lines[2] | {"a": "7", "s": None})
    lines[2] |= {"s": None}
    for shard, part in enumerate((lines[:6], lines[6:])):
        _write(tmp_path / "shards" / f"{shard}.jsonl", part)
    source = Source(path=str(tmp_path / "shards"), columns=COLUMNS, domain="math")
    steps = Steps(keep_doubtful=True)
    local = curate([source], {"train": ProblemSet()}, exact_match, tmp_path / "l", seed=1, generators={}, steps=steps)
    job = Job(source, tmp_path / "job", 2, matched, steps=steps)
    _run(job)
    kept = {p.id: p for path in (job.folder / "kept").glob("*.parquet") for p in read_problems(path)}
    wanted = {p.id: p for p in read_problems(local.sets["train"])}
    doubtful = [name for name, p in kept.items() if p.labels.get("doubtful")]
    assert kept.keys() == wanted.keys()
    assert doubtful == [name for name, p in wanted.items() if p.labels.get("doubtful")]
    (listed,) = (job.folder / "doubtful" / "single-00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(listed)["id"]] == doubtful


def test_a_pass_may_run_again(local: tuple[Job, list[str], dict[str, int]]) -> None:
    job, kept, _ = local
    _run(job)
    passes.check(job, 1)
    passes.single(job)
    for part in range(job.parts):
        list(passes.keep(job, part))
    assert _kept(job) == kept


def test_a_pass_names_the_one_that_is_missing(local: tuple[Job, list[str], dict[str, int]]) -> None:
    job, _, _ = local
    passes.spool(job, 0)
    with pytest.raises(UserError, match="counted has not run"):
        passes.measure_part(job, 2)


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_what_a_pass_reads_runs_nothing(local: tuple[Job, list[str], dict[str, int]]) -> None:
    """A file with an object in it, a pickle and a broken line are named; the object is not made."""
    job, _, _ = local
    for part in range(job.parts):
        passes.spool(job, part)
    mark = job.folder / "mark"
    places = job.folder / "places" / "00000.npz"
    evil = np.array([_Touch(mark)], object)
    with places.open("wb") as file:
        np.savez(file, position=evil, offset=evil, strict=evil, known=evil, codes=evil)
    with pytest.raises(UserError, match="was not written by a pass") as told:
        passes.measure_part(job, 0)
    assert told.value.where == str(places)
    places.write_bytes(pickle.dumps(_Touch(mark)))
    with pytest.raises(UserError, match="was not written by a pass"):
        passes.measure_part(job, 0)
    (job.folder / "sample" / "00001.jsonl").write_text('{"source": ', encoding="utf-8")
    with pytest.raises(UserError, match="was not written by a pass"):
        passes.measure_part(job, 2)
    assert not mark.exists()


def test_a_spooled_problem_comes_back_as_it_was(tmp_path: Path) -> None:
    """None, empty texts, signs outside ASCII, half a surrogate pair, tests and labels."""
    spool = Spool(tmp_path / "rows")
    problems = [
        Problem("1", "math", "Löse: 2 · x = 4 \U0001d465", "", trace="", index=-1),
        Problem("2", "code", "half \ud835", None, {"mode": "unit", "code": "assert 1"}, index=1 << 40),
        Problem(
            "3", "general", "x" * 10_000, verifier="judge", labels={"level": 3, "f": 0.1, "context": [{"a": None}]}
        ),
    ]
    offsets = [spool.add(p) for p in problems]
    assert [spool.read(offset) for offset in reversed(offsets)] == problems[::-1]
    spool.close()


def test_whether_a_source_is_readable_is_asked_of_all_parts_together(tmp_path: Path) -> None:
    """An empty file, one without a column that others have, and one of unreadable rows are no reason to stop."""
    lines = [{k: v for k, v in line.items() if n > 50 or k != "s"} for n, line in enumerate(_lines(90, 3))]
    _write(tmp_path / "shards" / "0.jsonl", lines[:45])
    _write(tmp_path / "shards" / "1.jsonl", [{"q": None}] * 5)
    _write(tmp_path / "shards" / "2.jsonl", [])
    _write(tmp_path / "shards" / "3.jsonl", lines[45:])
    source = Source(path=str(tmp_path / "shards"), columns=COLUMNS, domain="math")
    job = Job(source, tmp_path / "job", 4, matched)
    _run(job)
    local = curate([source], {"train": ProblemSet()}, exact_match, tmp_path / "local", seed=1, generators={})
    assert _kept(job) == sorted(p.id for p in read_problems(local.sets["train"]))
    assert _reasons(job)["unreadable_row"] == 5
    strict = replace(job, folder=tmp_path / "strict", max_unreadable=0.01)
    with pytest.raises(UserError, match="5 of 95 rows can't be read; row 0: 'q' is empty"):
        _run(strict)
    other = replace(job, folder=tmp_path / "other", source=source.model_copy(update={"columns": COLUMNS | {"id": "k"}}))
    with pytest.raises(UserError, match="no row has the column 'k'"):
        _run(other)


def test_what_parts_cannot_do_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a generator"):
        Job(Source(generator="arithmetic", rows=5), tmp_path / "job", 2, matched)
    assert not (tmp_path / "job").exists()


def test_without_datatrove_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datatrove", None)
    monkeypatch.setitem(sys.modules, "datatrove.data", None)
    monkeypatch.delitem(sys.modules, "ringlite_cli.data.executors", raising=False)
    with pytest.raises(UserError) as told:
        importlib.import_module("ringlite_cli.data.executors")
    assert "ringlite[scale]" in str(told.value.hint)


def _note_ids(folder: Path, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
    """A datatrove block that stands behind ours."""
    documents = list(data)
    assert all(d.metadata["answer"] and d.text for d in documents)
    (folder / f"ids-{rank}-{world_size}.txt").write_text("\n".join(d.id for d in documents), encoding="utf-8")
    yield from documents


@pytest.mark.slow
def test_datatrove_executor_gives_the_rows_of_the_whole(local: tuple[Job, list[str], dict[str, int]]) -> None:
    pytest.importorskip("datatrove", reason="needs the extra `scale`")
    from ringlite_cli.data.executors import run_here

    job, kept, reasons = local
    run_here(job, partial(_note_ids, job.folder), workers=2)
    assert _kept(job) == kept
    assert _reasons(job) == reasons
    ids = [line for path in job.folder.glob("ids-*.txt") for line in path.read_text(encoding="utf-8").split()]
    assert sorted(ids) == kept
