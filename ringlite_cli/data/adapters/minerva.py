"""MinervaMath / OCW courses (arXiv 2206.14858): problem, solution, type (the course), idx, answer.

The answer is a list of accepted forms with line ends; repeated forms become one.
Without such a column it is the last box of the solution.
"""

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, optional_text, text

DOMAIN = "science"
EDUCATION = "undergraduate"


def read(row: Raw) -> Fields:
    trace = optional_text(row, "solution")
    return {
        "prompt": text(row, "problem", "question"),
        "answer": answer_text(row.get("answer")) or last_boxed(trace or "") or None,
        "trace": trace,
        "labels": labels(row, course="type", original_id="idx"),
    }
