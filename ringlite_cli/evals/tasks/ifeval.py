"""IFEval: prompts with instructions that a program can check, such as a number of words or no commas.

source:   google/IFEval, split train (541 prompts), Apache-2.0
revision: the newest; no commit is pinned
paper:    Zhou et al. 2023, arXiv 2311.07911
prompt:   as it stands, zero-shot, no suffix
verifier: instructions: every instruction of the prompt must be followed ("prompt-level strict")
k:        1
"""

import json

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task


def _problem(row: SourceRow) -> Parts:
    names = list(row["instruction_id_list"])
    return Parts(row["prompt"], json.dumps({"instruction_id_list": names, "kwargs": list(row["kwargs"])}))


TASK = Task(
    "ifeval",
    "general",
    "google/IFEval",
    "train",
    "eval/ifeval.jsonl",
    _problem,
    k=1,
    suffix="",
    verifier="instructions",
)
