"""The tasks that can be evaluated, one file each; `TASKS` is the table, and `load_task` reads one's problems."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from ringlite_cli.errors import UserError
from ringlite_cli.evals.tasks.aime24 import TASK as AIME24
from ringlite_cli.evals.tasks.aime25 import TASK as AIME25
from ringlite_cli.evals.tasks.amc import TASK as AMC
from ringlite_cli.evals.tasks.base import Task, load_problems
from ringlite_cli.evals.tasks.cnmo24 import TASK as CNMO24
from ringlite_cli.evals.tasks.codeforces import TASK as CODEFORCES
from ringlite_cli.evals.tasks.countdown import TASK as COUNTDOWN
from ringlite_cli.evals.tasks.gpqa_diamond import TASK as GPQA_DIAMOND
from ringlite_cli.evals.tasks.gsm8k import TASK as GSM8K
from ringlite_cli.evals.tasks.humaneval import TASK as HUMANEVAL
from ringlite_cli.evals.tasks.ifeval import TASK as IFEVAL
from ringlite_cli.evals.tasks.leetcode import TASK as LEETCODE
from ringlite_cli.evals.tasks.livecodebench import TASK as LIVECODEBENCH
from ringlite_cli.evals.tasks.livemathbench import TASK as LIVEMATHBENCH
from ringlite_cli.evals.tasks.math500 import TASK as MATH500
from ringlite_cli.evals.tasks.mbpp import TASK as MBPP
from ringlite_cli.evals.tasks.minerva import TASK as MINERVA
from ringlite_cli.evals.tasks.olympiadbench import TASK as OLYMPIADBENCH
from ringlite_cli.evals.tasks.sudoku import TASK as SUDOKU
from ringlite_cli.evals.tasks.theoremqa import TASK as THEOREMQA
from ringlite_cli.problems import Problem, read_problems

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        GSM8K,
        MATH500,
        AIME24,
        AIME25,
        AMC,
        CNMO24,
        LIVEMATHBENCH,
        MINERVA,
        OLYMPIADBENCH,
        GPQA_DIAMOND,
        THEOREMQA,
        HUMANEVAL,
        MBPP,
        LEETCODE,
        LIVECODEBENCH,
        CODEFORCES,
        IFEVAL,
        COUNTDOWN,
        SUDOKU,
    )
}

__all__ = ["TASKS", "Task", "find_task", "load_problems", "load_task"]


def find_task(name: str) -> Task:
    """Raises UserError with the nearest names for a task that is not in the table."""
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(name.lower(), TASKS, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"the tasks are {', '.join(TASKS)}"
    raise UserError(f"there is no task {name!r}", where="tasks", hint=hint)


def load_task(
    name: str,
    data: Mapping[str, str | Path] | None = None,
    limit: int | None = None,
    revision: str | None = None,
) -> list[Problem]:
    """The problems of a task: from `data[name]` if given, else from RINGLITE_DATA, else made or from the hub.

    revision: the commit of the task's dataset on the hub; the newest without.
    A name outside the table is fine where `data` names a file of problems (the fields of `ringlite_cli.problems`).
    """
    local = Path(data[name]) if data and name in data else None
    if local is not None and name not in TASKS:
        problems = read_problems(local)
    else:
        problems = load_problems(find_task(name), local, revision)
    if not problems:
        raise UserError("no problems are left", where=f"task {name}", hint="look at the file's rows and fields")
    return problems[:limit]
