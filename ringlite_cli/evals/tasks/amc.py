"""AMC 12 of 2022 and 2023: 83 problems whose answers are whole numbers.

source:   AI-MO/aimo-validation-amc, split train (83 problems); AoPS archive
revision: the newest; no commit is pinned
prompt:   the problem and the paper's suffix, zero-shot
verifier: math
k:        16
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task("amc", "math", "AI-MO/aimo-validation-amc", "train", "eval/amc.json", by_adapter("amc"), k=16)
