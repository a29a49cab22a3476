"""One submission in one jail: its open files, its limits, and what its end says of it."""

import marshal
import math
import os
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from ringlite_cli.sandbox import judge, model
from ringlite_cli.sandbox.guest.child import EXIT_COMPILE, EXIT_MEMORY
from ringlite_cli.sandbox.guest.native import INPUT_FILE
from ringlite_cli.sandbox.jail import Jail
from ringlite_cli.sandbox.languages import Compiled
from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission
from ringlite_cli.sandbox.order import CatchOrder
from ringlite_cli.sandbox.usage import Bounds
from ringlite_cli.sandbox.values import show

STDERR_BYTES = 2000
_TIMES = {"cpu": "CPU time", "wall": "wall time"}
_JVM_EXIT_MEMORY = 3  # -XX:+ExitOnOutOfMemoryError


@dataclass
class RunFiles:
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

    def read(self, name: str, offset: int = 0) -> bytes:
        return os.pread(self.numbers[name], max(0, self.size(name) - offset), offset)

    def head(self, name: str, limit: int) -> str:
        return os.pread(self.numbers[name], limit, 0).decode(errors="replace")

    def tail(self, name: str, limit: int) -> str:
        number = self.numbers[name]
        return os.pread(number, limit, max(0, os.fstat(number).st_size - limit)).decode(errors="replace")

    def size(self, name: str) -> int:
        return os.fstat(self.numbers[name]).st_size


@dataclass
class Memory:
    """What submissions before this one have taught: which tests catch, and what is compiled already."""

    order: CatchOrder = field(default_factory=CatchOrder)
    compiled: Compiled = field(default_factory=Compiled)


class Attempt:
    """One submission in one jail."""

    def __init__(self, jail: Jail, submission: Submission, settings: SandboxSettings, memory: Memory) -> None:
        self.jail, self.submission, self.tests = jail, submission, submission.tests
        self.settings, self.memory = settings, memory
        self.seconds = submission.seconds or settings.seconds
        self.bounds = Bounds(self.seconds, settings.memory_mb << 20)
        self.ran = False  # whether the program had a part in what happened
        self.names_input = False  # whether it opens its input by a name

    def name_input(self) -> None:
        """Has a program that opens /dev/stdin read a file in its place: a jail has no /proc, and so no such name."""
        program = self.submission.program
        self.names_input = "/dev/stdin" in program
        self.submission = replace(self.submission, program=program.replace("/dev/stdin", INPUT_FILE))

    def go(
        self,
        files: RunFiles,
        roles: list[tuple[str, dict[str, str]]],
        enough: Callable[[], bool] | None = None,
        bounds: Bounds | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """Run `roles`, each with its files {name inside: name here}, within the settings' limits or those given."""
        self.ran = True
        bounds = bounds or self.bounds
        usual = {
            "cpu": math.ceil(bounds.cpu) + 1,
            "memory": self._address_space(),
            "stack": self.settings.memory_mb << 20,
            "file": self.settings.output_mb << 20,
            "processes": self.settings.processes,
            "files": 64,
        }
        places = {name: place for place, name in enumerate(files.numbers)}
        wanted = [{"role": r, "files": {inner: places[outer] for inner, outer in names.items()}} for r, names in roles]
        request = {"limits": {**usual, **(limits or {})}, "roles": wanted}
        reply = self.jail.run(request, list(files.numbers.values()), bounds, enough)
        if reply["killed"] == "" and reply["cpu"] > bounds.cpu:
            reply["killed"] = "cpu"  # between two looks, or by the kernel
        return reply

    def failure(self, reply: Mapping[str, Any], files: RunFiles, native: bool = False) -> SandboxVerdict | None:
        """The verdict when the program itself failed; None when it ran to its end."""
        end, settings = reply["children"][0], self.settings
        facts: dict[str, Any] = {"seconds": reply["wall"], "cpu_seconds": reply["cpu"], "memory_bytes": end["rss"]}
        facts["stderr"] = files.tail("stderr", STDERR_BYTES)
        last_line = (facts["stderr"].strip().splitlines() or [""])[-1][:300]
        code = os.waitstatus_to_exitcode(end["status"])
        if files.size("stdout") >= settings.output_mb << 20 or files.size("stderr") >= settings.output_mb << 20:
            return SandboxVerdict(model.OUTPUT_LIMIT, detail=f"more than {settings.output_mb} MiB", **facts)
        if code == EXIT_COMPILE and not native:
            return SandboxVerdict(model.COMPILE_ERROR, detail=last_line, **facts)
        if reply["killed"] == "memory" or self._out_of_memory(
            code, facts["stderr"] + files.tail("stdout", 200), native
        ):
            return SandboxVerdict(model.MEMORY_LIMIT, detail=f"more than {settings.memory_mb} MiB", **facts)
        if reply["killed"] in _TIMES:
            return SandboxVerdict(model.TIME_LIMIT, detail=_TIMES[reply["killed"]], **facts)
        if reply["killed"]:
            return SandboxVerdict(model.SANDBOX_ERROR, detail=f"stopped ({reply['killed']})", **facts)
        if code != 0:
            how = _signal_name(-code) if code < 0 else f"exit code {code}"
            return SandboxVerdict(model.RUNTIME_ERROR, detail=last_line or how, **facts)
        return None

    def _out_of_memory(self, code: int, said: str, native: bool) -> bool:
        told = _native_memory(code, said) if native else code == EXIT_MEMORY
        return told or self.jail.ran_out_of_memory()

    def _address_space(self) -> int:
        """The memory limit, and as much again for a stack that a program asks for; what it uses is watched."""
        return (self.settings.memory_mb << 20) * (2 if "stack_size(" in self.submission.program else 1)

    @property
    def wants_prelude(self) -> bool:
        """LeetCode's convention: a `class Solution` is written without its imports."""
        return re.search(r"^[ \t]*class\s+Solution\b", self.submission.program, re.MULTILINE) is not None


def payload(**content: Any) -> bytes:
    return marshal.dumps(content)  # the jail runs this very interpreter, and it trusts this side


def accepted(reply: Mapping[str, Any]) -> SandboxVerdict:
    rss = reply["children"][0]["rss"]
    return SandboxVerdict(model.ACCEPTED, reply["wall"], cpu_seconds=reply["cpu"], memory_bytes=rss)


def at_case(verdict: SandboxVerdict, case: int) -> SandboxVerdict:
    return verdict if verdict.verdict == model.COMPILE_ERROR else replace(verdict, failed_case=case)


def wrong_answer(case: Mapping[str, Any], actual: Any, place: int, seconds: float) -> SandboxVerdict:
    detail = f"expected {show(judge.accepted_answers(case)[0])}, got {show(actual)}"
    return SandboxVerdict(model.WRONG_ANSWER, seconds, detail, place)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has none
        return f"signal {number}"


def _native_memory(code: int, said: str) -> bool:
    if code == _JVM_EXIT_MEMORY and "OutOfMemoryError" in said:
        return True
    return code < 0 and "bad_alloc" in said  # by SIGABRT; the first process of a name space cannot get that
