"""DeepScaleR (agentica-org/DeepScaleR-Preview-Dataset): problem, answer, solution (often empty or without a box)."""

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, boxed_trace, text

DOMAIN = "math"
EDUCATION = "high school competition"


def read(row: Raw) -> Fields:
    return {
        "prompt": text(row, "problem"),
        "answer": answer_text(row.get("answer")),
        "trace": boxed_trace(row, "solution"),
    }
