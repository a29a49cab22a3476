"""CNMO 2024: 18 problems of the Chinese National Mathematical Olympiad in English, as LiveMathBench carries them.

source:   opencompass/LiveMathBench, config v202412_CNMO_en, split test (18 problems)
revision: the newest; no commit is pinned
paper:    Liu et al. 2024, arXiv 2412.13147
prompt:   the problem and the paper's suffix, zero-shot
verifier: math
k:        16
"""

from ringlite_cli.evals.tasks.base import Task
from ringlite_cli.evals.tasks.livemathbench import to_problem

TASK = Task(
    "cnmo24",
    "math",
    "opencompass/LiveMathBench",
    "test",
    "eval/cnmo24.json",
    to_problem,
    k=16,
    config="v202412_CNMO_en",
)
