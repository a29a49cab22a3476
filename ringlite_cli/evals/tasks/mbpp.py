"""MBPP: Python functions from a sentence and three asserts.

source:   google-research-datasets/mbpp, config full, split test (500 problems), CC-BY-4.0
revision: the newest; no commit is pinned
paper:    Austin et al. 2021, arXiv 2108.07732
prompt:   the sentence and the first assert, which names the function; zero-shot, no suffix
verifier: code, mode unit: all asserts run after the response's program
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, Row, Task

_ASK = """{question}
Your function has to pass this test, among others:

```python
{test}
```

Answer with one markdown code block that holds the whole Python program."""


def _problem(row: Row) -> Parts:
    question, tests = row.get("text") or row["prompt"], list(row["test_list"])
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
    code = "\n".join([setup, *tests, *(row.get("challenge_test_list") or [])]).strip() + "\n"
    return Parts(
        _ASK.format(question=question.strip(), test=tests[0]),
        tests={"mode": "unit", "language": "python", "code": code},
    )


TASK = Task(
    "mbpp",
    "code",
    "google-research-datasets/mbpp",
    "test",
    "eval/mbpp.jsonl",
    _problem,
    k=4,
    config="full",
    suffix="",
)
