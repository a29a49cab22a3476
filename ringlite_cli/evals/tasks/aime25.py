"""AIME 2025: the 30 problems of both papers, answers 0 to 999.

source:   math-ai/aime25, split test (30 problems); AoPS archive
revision: the newest; no commit is pinned
prompt:   the problem and the paper's suffix, zero-shot
verifier: math; the answer without leading zeros
k:        32, as the paper evaluates it (§4.1)
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task("aime25", "math", "math-ai/aime25", "test", "eval/aime25.json", by_adapter("aime", str.isdigit), k=32)
