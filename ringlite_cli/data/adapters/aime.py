"""AIME (AoPS archive): problem, solution, answer (an integer from 0 to 999), year, aime_number, problem_number.

Also gneubig/aime-1983-2024: ID, Year, "Problem Number", Question, Answer, Part.
"""

import re

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, optional_text, text

DOMAIN = "math"
EDUCATION = "high school olympiad"
_SIGNED = re.compile(r"\n\s*~[^\n]*")  # the archive's solutions end in the names of their authors
_DRESSED = re.compile(r"\\boxed\{\s*\\textbf\{\s*\((\d+)\)\s*\}\s*\}")  # \boxed{\textbf{(051)}}, as if it were a choice


def read(row: Raw) -> Fields:
    answer = answer_text(row.get("answer", row.get("Answer")))
    if answer and answer.isdigit():
        answer = str(int(answer))  # "025" -> "25"
    worked = optional_text(row, "solution")
    trace = _DRESSED.sub(r"\\boxed{\1}", _SIGNED.sub("", worked)).strip() if worked else None
    given = labels(row, year="year", aime="aime_number", number="problem_number", difficulty="difficulty")
    given |= labels(row, year="Year", number="Problem Number", original_id="ID")
    return {"prompt": text(row, "problem", "Question", "question"), "answer": answer, "trace": trace, "labels": given}
