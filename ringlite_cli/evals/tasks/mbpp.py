"""MBPP: Python functions from a sentence and three asserts.

source:   google-research-datasets/mbpp, config full, split test (500 problems), CC-BY-4.0
revision: the newest; no commit is pinned
paper:    Austin et al. 2021, arXiv 2108.07732
prompt:   the sentence and the first assert, which names the function; zero-shot, no suffix
verifier: code, mode unit: all asserts run after the response's program
k:        4
"""

from ringlite_cli.evals.tasks.base import Task, by_adapter

TASK = Task(
    "mbpp",
    "code",
    "google-research-datasets/mbpp",
    "test",
    "eval/mbpp.jsonl",
    by_adapter("mbpp"),
    k=4,
    config="full",
    suffix="",
)
