"""GSM8K: grade-school word problems.

source:   openai/gsm8k, config main, split test (1,319 problems), MIT
revision: the newest; no commit is pinned
paper:    Cobbe et al. 2021, arXiv 2110.14168
prompt:   the question and the paper's suffix, zero-shot
verifier: math; the number after `####` is the answer
k:        4
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task("gsm8k", "math", "openai/gsm8k", "test", "eval/gsm8k.json", by_adapter("gsm8k"), k=4, config="main")
