"""LiveCodeBench: code generation on problems of LeetCode, AtCoder and Codeforces, release v5.

source:   lighteval/code_generation_lite, config release_v5, split test (880 problems, May 2023 to January 2025):
          the rows of livecodebench/code_generation_lite as parquet; that dataset's own test*.jsonl files do as well
revision: the newest; no commit is pinned. The release of the benchmark is in the config's name
paper:    Jain et al. 2024, arXiv 2403.07974
prompt:   the problem, with the class to complete where there is one; zero-shot, no suffix
verifier: code, mode stdin or function: public and private tests, all of which must pass
k:        4
"""

import base64
import io
import json
import pickle
import zlib
from typing import Any

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task

_STARTER = """{question}

Complete this code. Answer with one markdown code block that holds the whole Python program.

```python
{starter}
```"""
_STDIN = """{question}

Write a Python program that reads standard input and prints the answer. Answer with one markdown code block."""


class _PlainUnpickler(pickle.Unpickler):
    """Reads text and numbers; a pickle that names a class or a function is refused, for it could run anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"tests that name {module}.{name}")


def _problem(row: SourceRow) -> Parts:
    tests = [*_tests(row["public_test_cases"]), *_tests(row.get("private_test_cases") or "[]")]
    question, starter = row["question_content"].strip(), (row.get("starter_code") or "").strip()
    if tests[0]["testtype"] == "functional":
        name = json.loads(row["metadata"])["func_name"]
        cases = [{"args": [json.loads(line) for line in t["input"].split("\n")], "expected": json.loads(t["output"])}
                 for t in tests]  # fmt: skip
        spec = {"mode": "function", "language": "python", "entry_point": f"Solution.{name}", "cases": cases}
        return Parts(_STARTER.format(question=question, starter=starter), tests=spec)
    cases = [{"input": t["input"], "output": t["output"]} for t in tests]
    return Parts(_STDIN.format(question=question), tests={"mode": "stdin", "language": "python", "cases": cases})


def _tests(field: str) -> list[dict[str, str]]:
    """Test cases from JSON text, or from JSON text that was pickled, compressed and written in base 64."""
    try:
        found = json.loads(field)
    except json.JSONDecodeError:
        found = json.loads(_PlainUnpickler(io.BytesIO(zlib.decompress(base64.b64decode(field)))).load())
    return list(found)


TASK = Task(
    "livecodebench",
    "code",
    "lighteval/code_generation_lite",
    "test",
    "eval/livecodebench.jsonl",
    _problem,
    k=4,
    config="release_v5",
    suffix="",
)
