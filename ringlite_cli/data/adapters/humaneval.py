"""HumanEval (openai/openai_humaneval; arXiv 2107.03374): task_id, prompt, entry_point, canonical_solution, test."""

from ringlite_cli.data.adapters.fields import Fields, Raw, fenced, labels, optional_text, text
from ringlite_cli.prompt_code import code_beside

DOMAIN = "code"
EDUCATION = "first programs"
_ASK = """Complete the Python function below. Answer with one markdown code block.
It must hold the whole function and every import it needs.

```python
{start}
```"""


def read(row: Raw) -> Fields:
    start, entry, test = text(row, "prompt"), text(row, "entry_point"), text(row, "test")
    body = optional_text(row, "canonical_solution")
    return {
        "prompt": _ASK.format(start=start.strip("\n")),
        "tests": {
            "mode": "unit",
            "language": "python",
            "entry_point": entry,
            "code": f"{code_beside(start, entry)}{test.strip()}\n\ncheck({entry})\n",
        },
        "trace": fenced(start + body) if body else None,
        "labels": labels(row, original_id="task_id"),
    }
