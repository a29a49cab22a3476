"""MATH-500: 500 competition problems of the MATH test split.

source:   HuggingFaceH4/MATH-500, split test (500 problems), MIT
revision: the newest; no commit is pinned
paper:    Hendrycks et al. 2021, arXiv 2103.03874; the subset: Lightman et al. 2023, arXiv 2305.20050
prompt:   the problem and the paper's suffix, zero-shot
verifier: math
k:        4
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task("math500", "math", "HuggingFaceH4/MATH-500", "test", "eval/math500.json", by_adapter("math"), k=4)
