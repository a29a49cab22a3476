"""LiveMathBench: problems of four recent contests and exams (AMC, CCEE, CNMO, WLPMC) in English.

source:   opencompass/LiveMathBench, configs v202412_*_en, split test (46 + 44 + 18 + 11 = 119 problems)
revision: the newest; no commit is pinned. The version of the benchmark is in the configs' names
paper:    Liu et al. 2024, arXiv 2412.13147
prompt:   the problem and the paper's suffix, zero-shot
verifier: math
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task, as_text


def to_problem(row: SourceRow) -> Parts:
    return Parts(row.get("question") or row["problem"], as_text(row["answer"]))


TASK = Task(
    "livemathbench",
    "math",
    "opencompass/LiveMathBench",
    "test",
    "eval/livemathbench.json",
    to_problem,
    k=4,
    config=("v202412_AMC_en", "v202412_CCEE_en", "v202412_CNMO_en", "v202412_WLPMC_en"),
)
