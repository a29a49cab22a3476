"""Codeforces: contest problems by standard input and output, judged by the official tests.

source:   open-r1/codeforces, config verifiable, split test, CC-BY-4.0; problems with a checker of their own or without
          all official tests are left out, for white-space comparison would judge them wrongly
revision: the newest; no commit is pinned
prompt:   statement, input, output, examples and limits; a Python program; zero-shot, no suffix
verifier: code, mode stdin: all tests must pass, under the sandbox's time limit and not the problem's own. A share of
          problems solved, no rating: a percentile among contestants needs their submissions
k:        4
"""

from ringlite_cli.evals.tasks.base import Parts, SourceRow, Task

_ASK = """{title}

{description}

Input
{input_format}

Output
{output_format}

Examples
{examples}

Time limit: {time_limit} s, memory limit: {memory_limit} MB.
Write a Python program that reads standard input and prints the answer. Answer with one markdown code block."""


def _problem(row: SourceRow) -> Parts | None:
    tests = row["official_tests"]
    if not tests or row.get("generated_checker") or not row.get("official_tests_complete", True):
        return None
    if row.get("input_mode", "stdio") != "stdio" or row.get("interaction_format"):
        return None
    parts = {name: row.get(name) or "" for name in ("title", "description", "input_format", "output_format")}
    examples = "\n\n".join(f"input:\n{e['input']}\noutput:\n{e['output']}" for e in row.get("examples") or [])
    prompt = _ASK.format(
        **parts, examples=examples, time_limit=row.get("time_limit") or "?", memory_limit=row.get("memory_limit") or "?"
    )
    cases = [{"input": test["input"], "output": test["output"]} for test in tests]
    return Parts(prompt, tests={"mode": "stdin", "language": "python", "cases": cases})


TASK = Task(
    "codeforces",
    "code",
    "open-r1/codeforces",
    "test",
    "eval/codeforces.jsonl",
    _problem,
    k=4,
    config="verifiable",
    suffix="",
)
