"""From a submission to runs and back: what is sent into the jail, and the verdict on what came out.

Expected values never leave this side: the jail gets programs, inputs and arguments (mode unit: the tests go to a
second jailed process that the program cannot reach).
"""

import json
import math
import os
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ringlite_cli.sandbox import judge, model
from ringlite_cli.sandbox.guest import wire
from ringlite_cli.sandbox.guest.child import EXIT_COMPILE, EXIT_MEMORY
from ringlite_cli.sandbox.jail import Jail
from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission

_STDERR_BYTES = 2000


@dataclass
class _Files:
    """The open memory files of one run, by name."""

    stack: ExitStack
    numbers: dict[str, int]

    def add(self, name: str, content: bytes = b"") -> None:
        number = os.memfd_create(name, os.MFD_CLOEXEC)
        self.stack.callback(os.close, number)
        view = memoryview(content)
        while view:
            view = view[os.write(number, view) :]
        os.lseek(number, 0, os.SEEK_SET)
        self.numbers[name] = number

    def read(self, name: str, limit: int) -> bytes:
        return os.pread(self.numbers[name], limit, 0)

    def tail(self, name: str, limit: int) -> str:
        number = self.numbers[name]
        return os.pread(number, limit, max(0, os.fstat(number).st_size - limit)).decode(errors="replace")

    def size(self, name: str) -> int:
        return os.fstat(self.numbers[name]).st_size


def judge_submission(jail: Jail, submission: Submission, settings: SandboxSettings) -> SandboxVerdict:
    """Runs one submission in `jail` to a verdict. Raises JailFailed when the jail breaks."""
    mode = submission.tests.get("mode")
    language = str(submission.tests.get("language") or "python").lower()
    if language not in ("python", "python3", "py"):
        return SandboxVerdict(model.COMPILE_ERROR, detail=f"no compiler for language {language!r} here")
    try:
        if mode == "function":
            return _function(jail, submission, settings)
        if mode == "stdin":
            return _stdin(jail, submission, settings)
        if mode == "unit":
            return _unit(jail, submission, settings)
    except (KeyError, TypeError, AttributeError, wire.Unsendable) as error:
        return SandboxVerdict(model.SANDBOX_ERROR, detail=f"the tests are not in the form of mode {mode}: {error!r}")
    return SandboxVerdict(model.SANDBOX_ERROR, detail=f"tests of mode {mode!r}; the modes are {', '.join(model.MODES)}")


def _limits(submission: Submission, settings: SandboxSettings) -> tuple[float, dict[str, int]]:
    wall = submission.seconds or settings.seconds
    limits = {
        "cpu": math.ceil(wall) + 1,
        "memory": settings.memory_mb << 20,
        "file": max(settings.output_mb, settings.files_mb) << 20,
        "processes": settings.processes,
        "files": 64,
    }
    return wall, limits


def _run(
    jail: Jail, submission: Submission, settings: SandboxSettings, files: _Files, roles: list[Any]
) -> dict[str, Any]:
    wall, limits = _limits(submission, settings)
    limits["file"] = settings.output_mb << 20
    places = {name: place for place, name in enumerate(files.numbers)}
    wanted = [
        {"role": role, "files": {inner: places[outer] for inner, outer in names.items()}} for role, names in roles
    ]
    return jail.run({"wall": wall, "limits": limits, "roles": wanted}, list(files.numbers.values()))


def _payload(**content: Any) -> bytes:
    return json.dumps(content).encode()


def _failure(
    reply: Mapping[str, Any], files: _Files, settings: SandboxSettings, which: int = 0
) -> SandboxVerdict | None:
    """The verdict when the program itself failed; None when it ran to its end."""
    end = reply["children"][which]
    facts: dict[str, Any] = {"seconds": reply["wall"], "cpu_seconds": end["cpu"], "memory_bytes": end["rss"]}
    facts["stderr"] = files.tail("stderr", _STDERR_BYTES)
    last_line = (facts["stderr"].strip().splitlines() or [""])[-1][:300]
    if files.size("stdout") >= settings.output_mb << 20 or files.size("stderr") >= settings.output_mb << 20:
        return SandboxVerdict(model.OUTPUT_LIMIT, detail=f"more than {settings.output_mb} MiB", **facts)
    if reply["killed"] == "wall":
        return SandboxVerdict(model.TIME_LIMIT, detail="wall time", **facts)
    if reply["killed"]:
        return SandboxVerdict(model.SANDBOX_ERROR, detail=f"stopped ({reply['killed']})", **facts)
    code = os.waitstatus_to_exitcode(end["status"])
    if code == EXIT_COMPILE:
        return SandboxVerdict(model.COMPILE_ERROR, detail=last_line, **facts)
    if code == EXIT_MEMORY:
        return SandboxVerdict(model.MEMORY_LIMIT, detail=f"more than {settings.memory_mb} MiB", **facts)
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and end["cpu"] > 1.0):
        return SandboxVerdict(model.TIME_LIMIT, detail="CPU time", **facts)
    if code != 0:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return SandboxVerdict(model.RUNTIME_ERROR, detail=last_line or how, **facts)
    return None


def _accepted(reply: Mapping[str, Any], which: int = 0) -> SandboxVerdict:
    end = reply["children"][which]
    return SandboxVerdict(model.ACCEPTED, reply["wall"], cpu_seconds=end["cpu"], memory_bytes=end["rss"])


def _wants_prelude(submission: Submission) -> bool:
    """LeetCode's convention: a `class Solution` is written without its imports."""
    return "class Solution" in submission.program


def _function(jail: Jail, submission: Submission, settings: SandboxSettings) -> SandboxVerdict:
    """Calls the entry point on every case in one process, and compares what it returned out here."""
    cases = submission.tests["cases"]
    calls = [wire.pack(case["args"] if isinstance(case["args"], list | dict) else [case["args"]]) for case in cases]
    content = {"entry_point": submission.tests["entry_point"], "calls": calls, "prelude": _wants_prelude(submission)}
    with ExitStack() as stack:
        files = _Files(stack, {})
        files.add("payload", _payload(program=submission.program, **content))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        names = {name: name for name in files.numbers}
        reply = _run(jail, submission, settings, files, [("calls", names)])
        lines = files.read("result", files.size("result")).split(b"\n")[:-1]
        wrong = _first_wrong(cases, lines, reply["wall"])
        failure = _failure(reply, files, settings)
        if wrong is not None:
            return wrong
        if failure is not None:
            return _at_case(failure, len(lines))
        if len(lines) < len(cases):
            detail = f"ended before case {len(lines)} returned"
            return SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], detail, len(lines))
        return _accepted(reply)


def _at_case(verdict: SandboxVerdict, case: int) -> SandboxVerdict:
    from dataclasses import replace

    return verdict if verdict.verdict == model.COMPILE_ERROR else replace(verdict, failed_case=case)


def _first_wrong(cases: list[Any], lines: list[bytes], seconds: float) -> SandboxVerdict | None:
    for place, (case, line) in enumerate(zip(cases, lines, strict=False)):
        try:
            actual = wire.unpack(json.loads(line))
        except Exception as error:  # whatever a program may write there, it is only its answer
            return SandboxVerdict(model.WRONG_ANSWER, seconds, f"not a value ({type(error).__name__})", place)
        if not judge.same_value(case["expected"], actual):
            detail = f"expected {_short(case['expected'])}, got {_short(actual)}"
            return SandboxVerdict(model.WRONG_ANSWER, seconds, detail, place)
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _stdin(jail: Jail, submission: Submission, settings: SandboxSettings) -> SandboxVerdict:
    """One run per case, input to output, up to the first that fails."""
    seconds, cpu, memory = 0.0, 0.0, 0
    payload = _payload(program=submission.program)
    for place, case in enumerate(submission.tests["cases"]):
        with ExitStack() as stack:
            files = _Files(stack, {})
            files.add("payload", payload)
            files.add("stdin", str(case["input"]).encode(errors="replace"))
            files.add("stdout")
            files.add("stderr")
            reply = _run(jail, submission, settings, files, [("program", {name: name for name in files.numbers})])
            seconds += reply["wall"]
            failure = _failure(reply, files, settings)
            if failure is not None:
                return _at_case(failure, place)
            actual = files.read("stdout", files.size("stdout")).decode(errors="replace")
            if not judge.same_output(str(case["output"]), actual):
                detail = f"expected {_short(case['output'])}, got {_short(actual)}"
                return SandboxVerdict(model.WRONG_ANSWER, seconds, detail, place)
            cpu += reply["children"][0]["cpu"]
            memory = max(memory, reply["children"][0]["rss"])
    return SandboxVerdict(model.ACCEPTED, seconds, cpu_seconds=cpu, memory_bytes=memory)


_OUTCOMES = {"failed": model.WRONG_ANSWER, "raised": model.RUNTIME_ERROR, "broken": model.SANDBOX_ERROR}


def _unit(jail: Jail, submission: Submission, settings: SandboxSettings) -> SandboxVerdict:
    """Runs the test code in one process against the program in another."""
    prelude = _wants_prelude(submission)
    with ExitStack() as stack:
        files = _Files(stack, {})
        files.add("program", _payload(program=submission.program, prelude=prelude))
        files.add("tests", _payload(tests=submission.tests["code"], prelude=prelude))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        serve = {"payload": "program", "stdout": "stdout", "stderr": "stderr"}
        test = {"payload": "tests", "result": "result"}
        reply = _run(jail, submission, settings, files, [("serve", serve), ("test", test)])
        try:
            outcome = json.loads(files.read("result", 1 << 16))
        except ValueError:
            outcome = {"outcome": "gone", "detail": "the tests did not finish"}
        failure = None if outcome["outcome"] in ("passed", *_OUTCOMES) else _failure(reply, files, settings, 0)
        if outcome["outcome"] == "passed":
            return _accepted(reply)
        if outcome["outcome"] in _OUTCOMES:
            return SandboxVerdict(_OUTCOMES[outcome["outcome"]], reply["wall"], outcome["detail"])
        return failure or SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], "ended before the tests did")
