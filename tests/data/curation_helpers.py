"""A real verifier for tests of the data room: exact match on the last box, programs run in this process, instructions
checked as they are."""

import re
from collections.abc import Sequence

from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.instructions import verify_instructions
from ringlite_cli.thoughts import answer_part


def exact_match(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    return [_one(problem, response) for problem, response in pairs]


def _one(problem: Problem, response: str) -> Verdict:
    if problem.verifier == "instructions":
        return verify_instructions(problem.answer, answer_part(response))
    if problem.domain == "code":
        right = _passes(problem, response)
    else:
        boxes = re.findall(r"\\boxed\{([^{}]*)\}", response)
        right = bool(boxes) and boxes[-1].strip() == (problem.answer or "").strip() and boxes[-1].strip() != "?!"
    return Verdict("correct" if right else "wrong", float(right))


def _passes(problem: Problem, response: str) -> bool:
    block = re.search(r"```python\n(.*?)```", response, re.S)
    if block is None or "while True" in response:
        return False
    names: dict[str, object] = {}
    try:
        exec(block[1], names)
        tests = problem.tests or {}
        function = names[tests["entry_point"]]
        return all(function(*case["args"]) == case["expected"] for case in tests["cases"])  # type: ignore[operator]
    except Exception:
        return False


def problem(prompt: str, answer: str | None = "4", **more: object) -> Problem:
    values: dict[str, object] = {"id": prompt, "domain": "math", "prompt": prompt, "answer": answer} | more
    return Problem(**values)  # type: ignore[arg-type]


def row(
    prompt: str, answer: str | None = "4", *, procedural: bool = False, split: str = "train", **more: object
) -> CuratedRow:
    return CuratedRow(problem(prompt, answer, **more), split, procedural)
