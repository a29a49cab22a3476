"""Family relations: what one person of a family of four to eight is to another.

source:   reasoning-gym's generator `family_relationships`, seed 2507, 200 problems (extra `gym`), Apache-2.0;
          or a file of such rows; the rows whose answer is wrong are left out
revision: the installed version of reasoning-gym; another may make other problems
paper:    Stojanovski et al. 2025, arXiv 2505.24760
prompt:   the generator's question, and where to put the answer; zero-shot, no suffix
verifier: logic-gym: reasoning-gym's own scorer, full score only
k:        4
"""

from functools import partial

from ringlite_cli.evals.tasks.base import Task
from ringlite_cli.evals.tasks.gym import make_rows, to_problem

TASK = Task(
    "family_relationships",
    "logic",
    "reasoning-gym",
    "test",
    "eval/family_relationships.jsonl",
    to_problem,
    k=4,
    suffix="",
    verifier="logic-gym",
    generate=partial(make_rows, "family_relationships"),
)
