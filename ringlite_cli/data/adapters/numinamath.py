"""NuminaMath: 1.5 (AI-MO/NuminaMath-1.5): problem, solution, answer, problem_type, question_type, problem_is_valid,
solution_is_valid, source, synthetic; CoT (AI-MO/NuminaMath-CoT): source, problem, solution, messages.

An answer of "proof" or "notfound" is none; CoT's answer is the last box of its solution, or what that names as one.
"""

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, optional_text, text

DOMAIN = "math"


def read(row: Raw) -> Fields:
    trace = optional_text(row, "solution") or None
    answer = answer_text(row.get("answer"))
    if answer is None and "answer" not in row and trace:
        answer = last_boxed(trace) or None  # else what the solution names as its answer
    if answer in ("proof", "notfound"):
        answer = None
    given = labels(
        row,
        subject="problem_type",
        question_type="question_type",
        problem_valid="problem_is_valid",
        solution_valid="solution_is_valid",
        collection="source",
        original_id="uuid",
    )
    return {"prompt": text(row, "problem"), "answer": answer, "trace": trace, "labels": given}
