"""The rules on prompts and answers in many wordings, English and Chinese: wordings.jsonl holds a prompt, its answer and
the reason that is due, null for rows to keep."""

from pathlib import Path
from typing import Any

import pytest
from curation_helpers import problem

from ringlite_cli.data.needs import problem_reason
from ringlite_cli.runs.files import read_jsonl

CASES = read_jsonl(Path(__file__).with_name("wordings.jsonl"))
SAME_FAULT = ({"true_false", "yes_no"}, {"proof", "open_question", "answer_is_prose"})
"""Reasons between which nothing hangs: a row that is answered by "False" may be either of the first two."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['reason']}: {case['prompt'][:40]}")
def test_wording(case: dict[str, Any]) -> None:
    found = problem_reason(problem(case["prompt"], case["answer"]))
    assert found == case["reason"] or any({found, case["reason"]} <= same for same in SAME_FAULT)
