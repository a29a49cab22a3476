"""MBPP (google-research-datasets/mbpp; arXiv 2108.07732): text, code, test_list, test_setup_code, challenge_test_list;
its sanitized part: prompt, code, test_imports, test_list.

The prompt shows the first test, for nothing else says what the function is called.
"""

from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, fenced, labels, optional_text, text

DOMAIN = "code"
EDUCATION = "first programs"
_ASK = """{question}
Your function has to pass this test, among others:

```python
{test}
```

Answer with one markdown code block that holds the whole Python program."""


def read(row: Raw) -> Fields:
    tests = [*_lines(row, "test_list"), *_lines(row, "challenge_test_list")]
    setup = optional_text(row, "test_setup_code") or "\n".join(_lines(row, "test_imports"))
    solution = optional_text(row, "code")
    question = text(row, "text", "prompt").strip()
    code = "\n".join([setup.strip(), *tests]).strip() + "\n"
    return {
        "prompt": _ASK.format(question=question, test=tests[0]) if tests else question,
        "tests": {"mode": "unit", "language": "python", "code": code} if tests else None,
        "trace": fenced(solution.replace("\r\n", "\n")) if solution else None,
        "labels": labels(row, original_id="task_id"),
    }


def _lines(row: Raw, name: str) -> list[str]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise BadRow(f"{name!r} is not a list of texts")
    return list(value)
