"""Tasks of lm-evaluation-harness that read answers by sympy's parsers run nothing of an answer."""

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: the parsers stay closed.
SCRIPT = """
import contextlib, sys
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.stages.parts.samplers import lms
for _ in range(2):
    with contextlib.suppress(Exception):
        lms(Engine(name="transformers"), "auto", 0)("/no/such/model")
import sympy
answer = "__import__('pathlib').Path(" + repr(sys.argv[1]) + ").write_text('x')"
for read in (sympy.parse_expr, sympy.sympify):
    with contextlib.suppress(Exception):
        read(answer)
print(sympy.parse_expr("2*x + 3").subs("x", 4))
"""


@pytest.mark.slow
def test_an_answer_is_not_evaluated(tmp_path: Path) -> None:
    pytest.importorskip("sympy")
    pytest.importorskip("lm_eval")
    canary = tmp_path / "canary"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(canary)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "11"
    assert not canary.exists()
