"""Mode unit: test code runs in one process against the program in another."""

import json
from contextlib import ExitStack

from ringlite_cli.sandbox import model
from ringlite_cli.sandbox.attempt import Attempt, RunFiles, accepted, payload
from ringlite_cli.sandbox.model import SandboxVerdict

_OUTCOMES = {"failed": model.WRONG_ANSWER, "raised": model.RUNTIME_ERROR, "broken": model.SANDBOX_ERROR}


def judge_unit(attempt: Attempt) -> SandboxVerdict:
    """Runs the test code in one process against the program in another."""
    prelude = attempt.wants_prelude
    with ExitStack() as stack:
        files = RunFiles(stack, {})
        files.add("program", payload(program=attempt.submission.program, prelude=prelude))
        files.add("tests", payload(tests=attempt.tests["code"], prelude=prelude))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        serve = {"payload": "program", "stdout": "stdout", "stderr": "stderr"}
        test = {"payload": "tests", "result": "result"}
        reply = attempt.go(files, [("serve", serve), ("test", test)])
        try:
            outcome = json.loads(files.read("result"))
        except ValueError:
            outcome = {"outcome": "gone", "detail": "the tests did not finish"}
        if outcome["outcome"] == "passed":
            return accepted(reply)
        if outcome["outcome"] in _OUTCOMES:
            return SandboxVerdict(_OUTCOMES[outcome["outcome"]], reply["wall"], outcome["detail"])
        failure = attempt.failure(reply, files)
        return failure or SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], "ended before the tests did")
