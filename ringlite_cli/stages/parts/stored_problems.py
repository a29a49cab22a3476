"""The problems that stored responses were made for, found again in a finished run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, read_problems
from ringlite_cli.recipe.graph import HARNESS, is_set
from ringlite_cli.runs.manifest import Manifest, read_manifest

StoredRow = dict[str, Any]
FindProblem = Callable[[StoredRow], Problem | None]


def of_set(run: Path, reference: str, field: str) -> FindProblem:
    """Find problems of a curated set by the id that a row has in `field`; one whose prompt has changed is not found."""
    problems = {problem.id: problem for problem in read_set(run, reference)}
    return lambda row: _asked(problems.get(str(row[field])), row)


def of_pass_rates(run: Path, manifest: Manifest) -> FindProblem:
    """Find the problems that models were asked, by source and row number; those that curation dropped are not kept."""
    paths = {run / e["path"] for e in manifest.outputs.values() if e["path"].endswith(".parquet") and "rows" in e}
    problems = {(p.source, p.index): p for path in sorted(paths) if path.is_file() for p in read_problems(path)}
    return lambda row: problems.get((row["source"], row["index"]))


def of_evaluation(run: Path, manifest: Manifest, data: Mapping[str, Path]) -> FindProblem:
    """Find the problems of an evaluation's tasks. Raises UserError for a task whose data can't be had."""
    from ringlite_cli.evals.evaluate import by_domain

    section, tasks = manifest.recipe, dict[str, Sequence[Problem]]()
    for task in section["tasks"]:
        if is_set(task):
            tasks |= by_domain(read_set(run, task))
        elif not task.startswith(HARNESS):
            tasks[task] = _load(task, data, section.get("revisions") or {})
    return _of(tasks)


def of_tasks(rows: Sequence[StoredRow], data: Mapping[str, Path], folder: Path | None = None) -> FindProblem:
    """Find the problems of the benchmark tasks that some rows name. Raises UserError as `of_evaluation` does.

    folder: where the rows lie; it may say how files of the user's own were read.
    """
    from ringlite_cli.evals.own_files import remembered
    from ringlite_cli.evals.tasks import load_task

    names = dict.fromkeys(row["task"] for row in rows if not row["task"].startswith(HARNESS))
    read = remembered(folder) if folder else {}
    files = {name: Path(each["file"]) for name, each in read.items()} | dict(data)
    how = {name: {"columns": each["columns"], "domain": each["domain"]} for name, each in read.items()}
    return _of({task: load_task(task, files, **how.get(task, {})) for task in names})


def _of(tasks: Mapping[str, Sequence[Problem]]) -> FindProblem:
    known = {(task, problem.id): problem for task, problems in tasks.items() for problem in problems}
    return lambda row: _asked(known.get((row["task"], str(row["id"]))), row)


def _asked(problem: Problem | None, row: StoredRow) -> Problem | None:
    """The problem, if it is what the row's model was asked (a suffix may follow its prompt)."""
    return problem if problem is not None and str(row["prompt"]).startswith(problem.prompt) else None


def read_set(run: Path, reference: str) -> list[Problem]:
    """Return the problems of a set such as `curate.math`. Raises UserError where the run has it no longer."""
    stage, _, artifact = reference.partition(".")
    manifest = read_manifest(run / stage)
    if manifest is None or artifact not in manifest.outputs:
        raise UserError(f"the set {reference} is not there", where=str(run / stage), hint="run its stage again")
    return read_problems(run / manifest.outputs[artifact]["path"])


def _load(task: str, data: Mapping[str, Path], revisions: Mapping[str, str]) -> list[Problem]:
    from ringlite_cli.evals.tasks import load_task

    return load_task(task, data, revision=revisions.get(task))
