"""MinervaMath / OCW courses (arXiv 2206.14858): problem, solution, type (the course), idx, answer.

The answer is a list of accepted forms with line ends; repeated forms become one.
"""

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, optional_text, text

DOMAIN = "science"


def read(row: Raw) -> Fields:
    return {
        "prompt": text(row, "problem", "question"),
        "answer": answer_text(row.get("answer")),
        "trace": optional_text(row, "solution"),
        "labels": labels(row, course="type", original_id="idx"),
    }
