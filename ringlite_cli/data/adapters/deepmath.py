"""DeepMath-103K (zwhe99/DeepMath-103K, arXiv 2504.11456): question, final_answer, difficulty, topic, r1_solution_1."""

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, boxed_trace, labels, text

DOMAIN = "math"
EDUCATION = "undergraduate and above"


def read(row: Raw) -> Fields:
    traces = (boxed_trace(row, f"r1_solution_{n}") for n in (1, 2, 3))
    return {
        "prompt": text(row, "question"),
        "answer": answer_text(row.get("final_answer")),
        "trace": next((t for t in traces if t), None),
        "labels": labels(row, subject="topic", difficulty="difficulty"),
    }
