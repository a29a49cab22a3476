"""TheoremQA: university questions that take a theorem of mathematics, physics, finance or computer science.

source:   TIGER-Lab/TheoremQA, split test (800 questions, of which those with a picture are left out), MIT
revision: the newest; no commit is pinned
paper:    Chen et al. 2023, arXiv 2305.12524
prompt:   the question, the kind of answer, and the paper's suffix, zero-shot
verifier: science (numbers within a tolerance, lists item by item); True and False, and options, as text
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task, as_text

_KINDS = {
    "bool": "Answer with True or False.",
    "integer": "Answer with an integer.",
    "float": "Answer with a decimal number.",
    "list of integer": "Answer with a list of integers such as [1, 2].",
    "list of float": "Answer with a list of numbers such as [0.5, 2].",
    "option": "Answer with the letter of the option in brackets, such as (a).",
}


def _problem(row: SourceRow) -> Parts | None:
    if row.get("Picture"):
        return None
    kind = _KINDS.get(row.get("Answer_type", ""))
    return Parts(f"{row['Question'].strip()}\n{kind}" if kind else row["Question"].strip(), as_text(row["Answer"]))


TASK = Task("theoremqa", "science", "TIGER-Lab/TheoremQA", "test", "eval/theoremqa.json", _problem, k=4)
