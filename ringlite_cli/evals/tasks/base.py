"""What a task is, and how its rows become problems."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ringlite_cli.data.adapters import ADAPTERS, BadRow
from ringlite_cli.data_folder import data_folder
from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import json_lines, json_rows, open_bytes, sound_rows
from ringlite_cli.problems import PAPER_SUFFIX, Problem, read_problems

Row = Mapping[str, Any]
_LOG = logging.getLogger(__name__)
_COMMIT = re.compile(r"[@/]([0-9a-f]{40})(?:/|$)")


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    hub:      dataset id on the Hugging Face hub, with `config` (several are read one after the other), `split` and
              `revision` (a commit of the dataset; None takes its newest).
    file:     the same data below the folder that the environment variable RINGLITE_DATA names.
    to_problem: a row of either as (prompt, answer, tests); None or a missing field sets the row aside. `by_adapter`
              makes it of an adapter of curation, so that a task and a held-out set of its rows ask the same.
    suffix:   appended to the prompt ("" for none).
    k:        responses per problem that `avg@k` uses by default.
    verifier: a route other than the domain's own ("" = by domain).
    generate: makes the rows where no file is given, instead of the hub.
    """

    name: str
    domain: str
    hub: str
    split: str
    file: str
    to_problem: Callable[[Row], "Parts | None"]
    k: int
    config: str | tuple[str, ...] | None = None
    revision: str | None = None
    suffix: str = PAPER_SUFFIX
    verifier: str = ""
    generate: Callable[[], list[dict[str, Any]]] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a problem that a row gives."""

    prompt: str
    answer: str | None = None
    tests: dict[str, Any] | None = None


def load_problems(task: Task, local: Path | None = None, revision: str | None = None) -> list[Problem]:
    """The problems of a task from a local file, else below RINGLITE_DATA, else from its generator or the hub.

    revision: the commit of the hub's dataset to take, instead of the task's own and of any file below RINGLITE_DATA.
    A file may be JSON (a list of rows), JSONL, either gzipped, or what `write_problems` writes. Ids are `<task>/<row>`.
    """
    folder = data_folder()
    if revision is not None:
        task = _pinned(task, local, revision)
    elif local is None and folder and (folder / task.file).is_file():
        local = folder / task.file
    if local is not None and (local.suffix == ".parquet" or _holds_problems(local)):
        return read_problems(local)
    rows, source, commit = _rows(task, local)
    problems = []
    for index, row in enumerate(rows):
        parts = _parts(task, row)
        if parts is not None:
            problems.append(
                Problem(
                    id=f"{task.name}/{index}",
                    domain=task.domain,
                    prompt=parts.prompt,
                    answer=parts.answer,
                    tests=parts.tests,
                    source=source,
                    index=index,
                    verifier=task.verifier,
                    labels={"revision": commit} if commit else {},
                )
            )
    if 0 < len(problems) < len(rows):
        _LOG.warning(
            "%s: %d of %d rows are no %s problems and are left out",
            source,
            len(rows) - len(problems),
            len(rows),
            task.name,
        )
    if rows and not problems:
        raise UserError(
            f"none of its {len(rows):,} rows is a {task.name} problem",
            where=str(local or task.hub),
            hint=f"the first row has the fields {', '.join(rows[0])}",
        )
    return problems


def _pinned(task: Task, local: Path | None, revision: str) -> Task:
    if local is not None:
        raise UserError("a file has no revision", where=f"task {task.name}", hint="give the file or the revision")
    if task.generate:
        raise UserError(f"{task.hub} makes its problems, it has no revision", where=f"task {task.name}")
    return replace(task, revision=revision)


def _rows(task: Task, local: Path | None) -> tuple[list[dict[str, Any]], str, str | None]:
    """The task's rows, the file, dataset or generator that they come from, and the dataset's commit."""
    if local is not None:
        return read_rows(local), local.name, None
    if task.generate:
        return task.generate(), task.hub, None
    rows, commit = _hub_rows(task)
    return rows, task.hub, commit


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON list or JSONL file, gzipped or not. Raises UserError where one cannot be read."""
    if not path.is_file():
        raise UserError("no such data file", where=str(path))
    with open_bytes(path) as file:
        listed = file.read(1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    return list(sound_rows(path, json_rows(path) if listed else json_lines(path)))


def _holds_problems(path: Path) -> bool:
    """Whether a JSONL file holds rows of `ringlite_cli.problems` rather than of the dataset."""
    if not path.name.endswith((".jsonl", ".jsonl.gz")) or not path.is_file():
        return False
    row = next(json_lines(path), None)
    return isinstance(row, dict) and {"id", "domain", "prompt"} <= set(row)


def by_adapter(name: str, accepts: Callable[[str], bool] | None = None) -> Callable[[Row], Parts]:
    """Return a `to_problem` that asks what curation asks of the same row, by the adapter of that name.

    accepts: whether a gold answer is one that the benchmark can have; other rows are set aside.
    """
    adapter = ADAPTERS[name]

    def to_problem(row: Row) -> Parts:
        fields = adapter(row)
        answer, tests = fields.get("answer"), fields.get("tests")
        if answer is None and tests is None:
            raise BadRow("nothing to verify a response against")
        if accepts is not None and not accepts(answer or ""):
            raise BadRow(f"{answer!r} is no answer of this benchmark")
        return Parts(fields["prompt"], answer, tests)

    return to_problem


def _parts(task: Task, row: Row) -> Parts | None:
    try:
        return task.to_problem(row)
    except (BadRow, KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _hub_rows(task: Task) -> tuple[list[dict[str, Any]], str | None]:
    from datasets import load_dataset

    configs = task.config if isinstance(task.config, tuple) else (task.config,)
    try:
        parts = [load_dataset(task.hub, config, split=task.split, revision=task.revision) for config in configs]
    except Exception as error:  # offline, gone, gated: the hub's errors share no base class
        raise UserError(
            f"cannot load {task.hub} from the hub ({str(error).strip().splitlines()[0][:200]})",
            where=f"task {task.name}",
            hint=f"give a local file: --data {task.name}=FILE, or set RINGLITE_DATA to a folder with {task.file}",
        ) from None
    return [dict(row) for part in parts for row in part], commit_of(parts) or task.revision


def commit_of(parts: Sequence[Any]) -> str | None:
    """The commit that datasets from the hub were read at, by the addresses of their files; None where none tells."""
    addresses = [str(url) for part in parts for url in (part.info.download_checksums or {})]
    found = {match[1] for url in addresses if (match := _COMMIT.search(url))}
    return found.pop() if len(found) == 1 else None


def as_text(answer: Any) -> str:
    """A gold answer as text: 142.0 is "142", a list of one is its item, a longer list is JSON text."""
    if isinstance(answer, list):
        items = [as_text(item) for item in answer]
        return items[0] if len(items) == 1 else json.dumps(items, ensure_ascii=False)
    if isinstance(answer, float) and answer.is_integer():
        return str(int(answer))
    if answer is None or not str(answer).strip():
        raise ValueError("no answer")
    return str(answer).strip()
