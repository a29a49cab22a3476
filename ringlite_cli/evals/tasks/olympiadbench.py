"""OlympiadBench: open-ended olympiad problems in mathematics, English, text only.

source:   Hothan/OlympiadBench, config OE_TO_maths_en_COMP, split train (674 problems), Apache-2.0
revision: the newest; no commit is pinned
paper:    He et al. 2024, arXiv 2402.14008
prompt:   the problem, the unit that is asked for, and the paper's suffix, zero-shot
verifier: math; several answers count as one list, all of which must be given
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task, as_text


def _problem(row: SourceRow) -> Parts:
    answers = row.get("final_answer", row.get("answer"))
    listed = answers if isinstance(answers, list) else [answers]
    question, unit = row.get("question") or row["problem"], row.get("unit")
    prompt = f"{question}\nGive the answer in {unit}." if unit else question
    return Parts(prompt, ", ".join(as_text(answer).strip("$") for answer in listed))


TASK = Task(
    "olympiadbench",
    "math",
    "Hothan/OlympiadBench",
    "train",
    "eval/olympiadbench.json",
    _problem,
    k=4,
    config="OE_TO_maths_en_COMP",
)
