"""DeepScaleR (agentica-org/DeepScaleR-Preview-Dataset): problem, answer, solution (often empty or without a box)."""

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, optional_text, text

DOMAIN = "math"
EDUCATION = "high school competition"


def read(row: Raw) -> Fields:
    return {
        "prompt": text(row, "problem"),
        "answer": answer_text(row.get("answer")),
        "trace": optional_text(row, "solution") or None,
    }
