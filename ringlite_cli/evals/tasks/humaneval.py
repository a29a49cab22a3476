"""HumanEval: 164 Python functions to complete from a signature and a docstring.

source:   openai/openai_humaneval, split test (164 problems), MIT
revision: the newest; no commit is pinned
paper:    Chen et al. 2021, arXiv 2107.03374
prompt:   asks for the whole function, imports included, in a code block; zero-shot, no suffix
verifier: code, mode unit: the task's tests, with the helpers that its prompt defines, call the response's program; all
          must pass
k:        4
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task(
    "humaneval",
    "code",
    "openai/openai_humaneval",
    "test",
    "eval/humaneval.jsonl.gz",
    by_adapter("humaneval"),
    k=4,
    suffix="",
)
