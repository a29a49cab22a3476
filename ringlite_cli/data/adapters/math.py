"""MATH (hendrycks/competition_math; arXiv 2103.03874): problem, solution with \\boxed{}, level, type.

Also its copies with the answer in a column: problem, answer, difficulty, type; and MATH-500, with unique_id.
"""

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, optional_text, text

DOMAIN = "math"
EDUCATION = "high school competition"


def read(row: Raw) -> Fields:
    trace = optional_text(row, "solution")
    answer = answer_text(row.get("answer")) or last_boxed(trace or "") or None
    given = labels(row, subject="type", difficulty="difficulty", level="level", original_id="unique_id")
    if "subject" not in given and isinstance(row.get("subject"), str):
        given["subject"] = row["subject"]
    return {"prompt": text(row, "problem"), "answer": answer, "trace": trace, "labels": given}
