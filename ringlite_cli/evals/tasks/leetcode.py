"""LeetCode: held-out problems of LeetCodeDataset with functional tests.

source:   newfacade/LeetCodeDataset, split test, Apache-2.0
revision: the newest; no commit is pinned
paper:    Xia et al. 2025, arXiv 2504.14655
prompt:   the problem with the class to complete; zero-shot, no suffix
verifier: code, mode unit: the task's `check` runs after the response's program; all must pass
k:        4
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task(
    "leetcode",
    "code",
    "newfacade/LeetCodeDataset",
    "test",
    "eval/leetcode.json",
    by_adapter("leetcode"),
    k=4,
    suffix="",
)
