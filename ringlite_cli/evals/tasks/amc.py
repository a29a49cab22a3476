"""AMC 12 of 2022 and 2023: 83 problems whose answers are whole numbers.

source:   AI-MO/aimo-validation-amc, split train (83 problems); AoPS archive
revision: the newest; no commit is pinned
prompt:   the problem and the paper's suffix, zero-shot
verifier: math
k:        16
"""

from ringlite_cli.evals.tasks.base import Parts, Row, Task, as_text


def _problem(row: Row) -> Parts:
    return Parts(row["problem"], as_text(row["answer"]))


TASK = Task("amc", "math", "AI-MO/aimo-validation-amc", "train", "eval/amc.json", _problem, k=16)
