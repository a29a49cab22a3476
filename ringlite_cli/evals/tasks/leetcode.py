"""LeetCode: held-out problems of LeetCodeDataset with functional tests.

source:   newfacade/LeetCodeDataset, split test, Apache-2.0
revision: the newest; no commit is pinned
paper:    Xia et al. 2025, arXiv 2504.14655
prompt:   the problem with the class to complete; zero-shot, no suffix
verifier: code, mode unit: the task's `check` runs after the response's program; all must pass
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, Row, Task


def _problem(row: Row) -> Parts:
    if "tests" in row:  # the form that RINGLITE_DATA holds
        return Parts(row["problem"], tests=_unit(row["tests"]["functional"]))
    return Parts(row["query"], tests=_unit(f"{row['test']}\n\ncheck({row['entry_point']})\n"))


def _unit(code: str) -> dict[str, str]:
    return {"mode": "unit", "language": "python", "code": code}


TASK = Task("leetcode", "code", "newfacade/LeetCodeDataset", "test", "eval/leetcode.json", _problem, k=4, suffix="")
