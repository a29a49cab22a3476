"""AMC 2022-23 (AoPS archive): problem, answer (a float), url, difficulty."""

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, text

DOMAIN = "math"
EDUCATION = "high school competition"


def read(row: Raw) -> Fields:
    given = labels(row, url="url", difficulty="difficulty")
    return {"prompt": text(row, "problem"), "answer": answer_text(row.get("answer")), "labels": given}
