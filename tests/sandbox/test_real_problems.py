"""Published problems with published solutions: accepted as they are, rejected when mutated."""

import ast
import gzip
import json
import os
from importlib.util import find_spec

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=2, isolation="none")) as opened:
        yield opened


class _Spoil(ast.NodeTransformer):
    """Replaces what every `return` of one function returns, and what it yields."""

    def __init__(self, name):
        self.name = name

    def visit_FunctionDef(self, node):
        if node.name == self.name:
            wrong = ast.parse("return ['mutated', 0]").body[0]
            node.body = [wrong]
        return node


def humaneval(real_data):
    with gzip.open(real_data / "eval" / "humaneval.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_humaneval_solutions_pass_and_mutated_ones_do_not(real_data, sandbox):
    rows = humaneval(real_data)
    good, bad = [], []
    for row in rows:
        tests = {"mode": "unit", "code": f"{row['test']}\ncheck({row['entry_point']})"}
        program = row["prompt"] + row["canonical_solution"]
        spoilt = ast.unparse(_Spoil(row["entry_point"]).visit(ast.parse(program)))
        good.append(Submission(program, tests))
        bad.append(Submission(spoilt, tests))
    verdicts = sandbox.run_many(good + bad)
    refused = [(r["task_id"], v) for r, v in zip(rows, verdicts, strict=False) if not v.accepted]
    assert refused == []
    passed = [r["task_id"] for r, v in zip(rows, verdicts[len(rows) :], strict=True) if v.accepted]
    assert passed == []
    assert {v.verdict for v in verdicts[len(rows) :]} <= {"wrong answer", "runtime error"}


@pytest.mark.slow
def test_leetcode_solutions_pass(real_data, sandbox):
    rows = json.loads((real_data / "eval" / "leetcode.json").read_text())
    if find_spec("sortedcontainers") is None:
        rows = [r for r in rows if "sortedcontainers" not in r["solutions"]]
    verdicts = sandbox.run_many(
        [Submission(r["solutions"], {"mode": "unit", "code": r["tests"]["functional"]}) for r in rows]
    )
    assert [(i, v) for i, v in enumerate(verdicts) if not v.accepted] == []
