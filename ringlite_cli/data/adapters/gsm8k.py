"""GSM8K (openai/gsm8k; arXiv 2110.14168): question, answer = worked solution that ends in `#### N`.

Also rows of {problem, solution, answer: null}, as some copies of its test split have.
"""

import re

from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, answer_text, optional_text, text

DOMAIN = "math"
EDUCATION = "grade school"
_CALCULATOR = re.compile(r"<<[^<>]*>>")


def read(row: Raw) -> Fields:
    prompt = text(row, "question", "problem")
    worked = optional_text(row, "solution", "answer") or ""
    steps, mark, final = worked.rpartition("####")
    if not mark and worked:
        raise BadRow("the solution has no '#### N' line")
    answer = answer_text(final.strip().replace(",", "")) if mark else None
    trace = f"{_CALCULATOR.sub('', steps).strip()}\nThe final answer is \\boxed{{{answer}}}." if answer else None
    return {"prompt": prompt, "answer": answer, "trace": trace}
