"""GPQA-Diamond: 198 graduate questions in biology, physics and chemistry with four choices.

source:   Idavidrein/gpqa, config gpqa_diamond, split train (198 questions), CC-BY-4.0;
          gated: accept its terms on the hub
revision: the newest; no commit is pinned
paper:    Rein et al. 2023, arXiv 2311.12022
prompt:   the question, the choices A to D in an order that depends on the question alone, and the paper's suffix
verifier: logic: the letter (or the choice itself) in the box
k:        8
"""

import hashlib
import json

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task

_CHOICES = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def _problem(row: SourceRow) -> Parts:
    question, choices = row["Question"].strip(), [row[name].strip() for name in _CHOICES]
    order = sorted(range(4), key=lambda i: hashlib.sha256(f"{question}\x1f{choices[i]}".encode()).digest())
    lines = [f"{letter}) {choices[i]}" for letter, i in zip("ABCD", order, strict=True)]
    right = "ABCD"[order.index(0)]
    answers = [right, f"{right}) {choices[0]}", choices[0]]
    return Parts(
        "\n".join([question, "", *lines, "", "Answer with the letter of the right choice."]), json.dumps(answers)
    )


TASK = Task(
    "gpqa_diamond",
    "science",
    "Idavidrein/gpqa",
    "train",
    "eval/gpqa_diamond.json",
    _problem,
    k=8,
    config="gpqa_diamond",
    verifier="logic",
)
