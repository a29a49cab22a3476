"""Minerva (OCWCourses): 272 university problems in physics, astronomy, chemistry and mathematics.

source:   math-ai/minervamath, split test (272 problems)
revision: the newest; no commit is pinned
paper:    Lewkowycz et al. 2022, arXiv 2206.14858
prompt:   the problem and the paper's suffix, zero-shot
verifier: science (math-verify with a tolerance for numbers); several answers are JSON text of a list
k:        4
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task("minerva", "science", "math-ai/minervamath", "test", "eval/minerva.json", by_adapter("minerva"), k=4)
