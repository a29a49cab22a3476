"""GSM8K: grade-school word problems.

source:   openai/gsm8k, config main, split test (1,319 problems), MIT
revision: the newest; no commit is pinned
paper:    Cobbe et al. 2021, arXiv 2110.14168
prompt:   the question and the paper's suffix, zero-shot
verifier: math; the number after `####` is the answer
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, Row, Task


def _problem(row: Row) -> Parts:
    solution = row.get("solution") or row["answer"]
    return Parts(row.get("problem") or row["question"], solution.rsplit("####", 1)[1].strip().replace(",", ""))


TASK = Task("gsm8k", "math", "openai/gsm8k", "test", "eval/gsm8k.json", _problem, k=4, config="main")
