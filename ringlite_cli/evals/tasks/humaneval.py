"""HumanEval: 164 Python functions to complete from a signature and a docstring.

source:   openai/openai_humaneval, split test (164 problems), MIT
revision: the newest; no commit is pinned
paper:    Chen et al. 2021, arXiv 2107.03374
prompt:   asks for the whole function, imports included, in a code block; zero-shot, no suffix
verifier: code, mode unit: the task's tests, with the helpers that its prompt defines, call the response's program; all
          must pass
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, Row, Task
from ringlite_cli.prompt_code import code_beside

_ASK = """Complete the Python function below. Answer with one markdown code block.
It must hold the whole function and every import it needs.

```python
{start}
```"""


def _problem(row: Row) -> Parts:
    name = row["entry_point"]
    code = f"{code_beside(row['prompt'], name)}{row['test']}\n\ncheck({name})\n"
    tests = {"mode": "unit", "language": "python", "entry_point": name, "code": code}
    return Parts(_ASK.format(start=row["prompt"].strip("\n")), tests=tests)


TASK = Task(
    "humaneval",
    "code",
    "openai/openai_humaneval",
    "test",
    "eval/humaneval.jsonl.gz",
    _problem,
    k=4,
    suffix="",
)
