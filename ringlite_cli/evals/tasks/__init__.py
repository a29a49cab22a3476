"""The tasks that can be evaluated, one file each, found by their names; `load_task` reads one's problems."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path

from ringlite_cli.errors import UserError, near
from ringlite_cli.evals.tasks.base import Task, holds_problems, load_problems
from ringlite_cli.own_code import allow, is_own, load
from ringlite_cli.presence import check_is_file
from ringlite_cli.problems import Problem, read_problems

_LISTED = [
    "gsm8k",
    "math500",
    "aime24",
    "aime25",
    "amc",
    "cnmo24",
    "livemathbench",
    "minerva",
    "olympiadbench",
    "gpqa_diamond",
    "theoremqa",
    "humaneval",
    "mbpp",
    "leetcode",
    "livecodebench",
    "codeforces",
    "ifeval",
    "countdown",
    "sudoku",
    "mini_sudoku",
    "number_sorting",
    "maze",
    "shortest_path",
    "arc_1d",
    "family_relationships",
    "knights_knaves",
]
"""The order in which users see tasks; a file whose task is not named here comes after these."""


def _found() -> dict[str, Task]:
    """The value `TASK` of each file beside this one, by its name."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    tasks = {module.TASK.name: module.TASK for module in modules if hasattr(module, "TASK")}
    return {name: tasks[name] for name in [*_LISTED, *sorted(tasks.keys() - set(_LISTED))] if name in tasks}


TASKS: dict[str, Task] = _found()

__all__ = ["TASKS", "Task", "find_task", "load_problems", "load_task", "tasks_of"]


def find_task(name: str) -> Task:
    """Return a task of the table, or the user's own by `module:object`. Raises UserError with the nearest names."""
    if is_own(name):
        own: Task = load(name, Task)
        if is_own(own.verifier):
            allow(own.verifier)  # whoever names the task trusts its reward
        return own
    if name in TASKS:
        return TASKS[name]
    hint = near(name.lower(), TASKS, f"the tasks are {', '.join(TASKS)}", most=2, cutoff=0.5)
    hint += f" (a file of your own is one by --data {name}=FILE)" * name.isidentifier()
    raise UserError(f"there is no task {name!r}", where="tasks", hint=hint)


def tasks_of(names: Iterable[str]) -> dict[str, Task]:
    """Return those of the names that are tasks, of the table or the user's own."""
    return {name: find_task(name) for name in names if name in TASKS or is_own(name)}


def is_file_alone(name: str) -> bool:
    """Return whether a task is nothing but a file: neither of the table nor the user's own code."""
    return name not in TASKS and not is_own(name)


def _read_own(name: str, path: Path, columns: str, domain: str | None) -> list[Problem]:
    """Read a file alone: as problems where its rows are, else by its columns."""
    if not columns and domain is None and (path.suffix == ".parquet" or holds_problems(path)):
        return read_problems(path)
    from ringlite_cli.evals.own_files import load_own

    check_is_file(path, "data file")
    return load_own(name, path, columns=columns, domain=domain)


def load_task(
    name: str,
    data: Mapping[str, str | Path] | None = None,
    limit: int | None = None,
    revision: str | None = None,
    *,
    columns: str = "",
    domain: str | None = None,
) -> list[Problem]:
    """The problems of a task: from `data[name]` if given, else from RINGLITE_DATA, else made or from the hub.

    revision: the commit of the task's dataset on the hub; the newest without.
    A name may be `module:object`, a Task of the user's own. Any other name outside the table is fine where `data` names
    a file of problems: of `ringlite_cli.problems`, or of any other schema, by `columns` and `domain` (see own_files).
    """
    local = Path(data[name]) if data and name in data else None
    if local is not None and is_file_alone(name):
        problems = _read_own(name, local, columns, domain)
    else:
        problems = load_problems(find_task(name), local, revision)
    if not problems:
        raise UserError("no problems are left", where=f"task {name}", hint="look at the file's rows and fields")
    return problems[:limit]
