"""SCP-116K (EricLu/SCP-116K; arXiv 2501.15587): domain, problem, solution as extracted from the book, and a model's
response (r1_response, r1_reasoning_content) with a flag whether it agrees with the extracted solution.

The gold answer is the box of the extracted solution, or the solution itself where it is no longer than an answer; else
the box of a response that agrees with it.
"""

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.adapters.fields import Fields, Raw, labels, optional_text, text

DOMAIN = "science"
EDUCATION = "undergraduate and above"
_SHORT = 60  # characters up to which a solution is an answer
_AGREES = ("is_r1_solution_same_with_matched_solution", "is_qwq_solution_same_with_matched_solution")


def read(row: Raw) -> Fields:
    solution = (
        optional_text(row, "extract_solution", "matched_solution", "extracted_solution", "solution") or ""
    ).strip()
    response = optional_text(row, "r1_response", "qwq_solution", "qwq_response")
    agrees = any(row.get(name) is True for name in _AGREES)
    answer = last_boxed(solution) or (solution if 0 < len(solution) <= _SHORT else None)
    if answer is None and agrees and response:
        answer = last_boxed(response) or None
    return {
        "prompt": text(row, "problem"),
        "answer": answer,
        "trace": _trace(row, response) if agrees else None,
        "labels": labels(row, topic="domain"),
    }


def _trace(row: Raw, response: str | None) -> str | None:
    thought = optional_text(row, "r1_reasoning_content")
    return f"<think>\n{thought.strip()}\n</think>\n\n{response}" if thought and response else response
