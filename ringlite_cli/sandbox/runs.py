"""From a submission to runs and back: what is sent into the jail, and the verdict on what came out.

Expected values never leave this side: the jail gets programs, inputs and arguments (mode unit: Python tests go to a
second jailed process that the program cannot reach, for C++ and Java see `sources`; a checker of the tests runs when
the program is gone).
"""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.sandbox import model
from ringlite_cli.sandbox.attempt import Attempt, Memory
from ringlite_cli.sandbox.function_mode import judge_function
from ringlite_cli.sandbox.jail import Jail
from ringlite_cli.sandbox.languages import has_compiler, language_of
from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission
from ringlite_cli.sandbox.stdin_mode import judge_stdin
from ringlite_cli.sandbox.unit_mode import judge_unit


def judge_submission(jail: Jail, submission: Submission, settings: SandboxSettings, memory: Memory) -> SandboxVerdict:
    """Run one submission in `jail` to a verdict.

    Raises JailFailed when the jail breaks, Cancelled when called off, Suspected or any other exception when the judge
    fails once the program has run: `pool` finds out whose fault that is.
    """
    mode = submission.tests.get("mode")
    named = submission.tests.get("language")
    language = language_of(named)
    if language is None or not has_compiler(language):  # of the tests, or of this machine: not the program's fault
        return SandboxVerdict(model.SANDBOX_ERROR, detail=f"no compiler for language {named!r} here")
    if mode not in model.MODES:
        detail = f"tests of mode {mode!r}; the modes are {', '.join(model.MODES)}"
        return SandboxVerdict(model.SANDBOX_ERROR, detail=detail)
    if fault := _fault(submission.tests, mode):
        return SandboxVerdict(model.SANDBOX_ERROR, detail=f"the tests are not in the form of mode {mode}: {fault}")
    attempt = Attempt(jail, submission, settings, memory)
    try:
        if mode == "stdin":
            return judge_stdin(attempt, language)
        return judge_function(attempt, language) if mode == "function" else judge_unit(attempt, language)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if attempt.ran:
            raise
        return SandboxVerdict(model.SANDBOX_ERROR, detail=f"the tests are not in the form of mode {mode}: {error!r}")


def _fault(tests: Mapping[str, Any], mode: object) -> str:
    """Return what keeps tests from judging anything: without a case or a line of code they would pass every program."""
    if mode == "unit":
        code = tests.get("code")
        return "" if isinstance(code, str) and code.strip() else "no text in 'code'"
    cases = tests.get("cases")
    if not isinstance(cases, list | tuple) or not cases or not all(isinstance(case, Mapping) for case in cases):
        return "'cases' is no list of cases"
    if not all({"any_of", "expected", "output"} & set(case) for case in cases):
        return "a case has no 'expected', 'output' or 'any_of'"
    if mode == "stdin" and not all("input" in case for case in cases):
        return "a case has no 'input'"
    if mode == "function" and not all("args" in case for case in cases):
        return "a case has no 'args'"
    if mode == "function" and not (isinstance(tests.get("entry_point"), str) and tests["entry_point"]):
        return "no name in 'entry_point'"
    return ""
