"""AIME (AoPS archive): problem, solution, answer (an integer from 0 to 999), year, aime_number, problem_number."""

import re

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, optional_text, text

DOMAIN = "math"
_SIGNED = re.compile(r"\n\s*~[^\n]*")  # the archive's solutions end in the names of their authors


def read(row: Raw) -> Fields:
    answer = answer_text(row.get("answer"))
    if answer and answer.isdigit():
        answer = str(int(answer))  # "025" -> "25"
    worked = optional_text(row, "solution")
    trace = _SIGNED.sub("", worked).strip() if worked else None
    given = labels(row, year="year", aime="aime_number", number="problem_number", difficulty="difficulty")
    return {"prompt": text(row, "problem", "question"), "answer": answer, "trace": trace, "labels": given}
