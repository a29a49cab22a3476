"""From a submission to runs and back: what is sent into the jail, and the verdict on what came out.

Expected values never leave this side: the jail gets programs, inputs and arguments (mode unit: the tests go to a
second jailed process that the program cannot reach; a checker of the tests runs when the program is gone).
"""

import json
import marshal
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from ringlite_cli.sandbox import judge, model
from ringlite_cli.sandbox.guest import wire
from ringlite_cli.sandbox.guest.child import EXIT_COMPILE, EXIT_MEMORY, EXIT_NO_TOOL
from ringlite_cli.sandbox.jail import Jail
from ringlite_cli.sandbox.languages import JAVA, PYTHON, RECIPES, Compiled, has_compiler, java_class, language_of
from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission
from ringlite_cli.sandbox.order import CatchOrder
from ringlite_cli.sandbox.view import java_tool

_STDERR_BYTES = 2000
_COMPILE_SECONDS, _COMPILE_MB = 30.0, 2048
_JVM_EXIT_MEMORY = 3  # -XX:+ExitOnOutOfMemoryError


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

    def read(self, name: str, offset: int = 0) -> bytes:
        return os.pread(self.numbers[name], max(0, self.size(name) - offset), offset)

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


def judge_submission(jail: Jail, submission: Submission, settings: SandboxSettings, memory: Memory) -> SandboxVerdict:
    """Runs one submission in `jail` to a verdict. Raises JailFailed when the jail breaks, Cancelled when called off."""
    mode = submission.tests.get("mode")
    named = submission.tests.get("language")
    language = language_of(named)
    if language is None or not has_compiler(language):
        return SandboxVerdict(model.COMPILE_ERROR, detail=f"no compiler for language {named!r} here")
    if mode not in model.MODES:
        detail = f"tests of mode {mode!r}; the modes are {', '.join(model.MODES)}"
        return SandboxVerdict(model.SANDBOX_ERROR, detail=detail)
    if language != PYTHON and mode != "stdin":
        detail = f"{language} programs are judged by mode stdin, not {mode}"
        return SandboxVerdict(model.SANDBOX_ERROR, detail=detail)
    run = _Run(jail, submission, settings, memory)
    try:
        if mode == "stdin":
            return run.stdin(language)
        return run.function() if mode == "function" else run.unit()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return SandboxVerdict(model.SANDBOX_ERROR, detail=f"the tests are not in the form of mode {mode}: {error!r}")


def _payload(**content: Any) -> bytes:
    return marshal.dumps(content)  # the jail runs this very interpreter, and it trusts this side


def _accepted(reply: Mapping[str, Any]) -> SandboxVerdict:
    end = reply["children"][0]
    return SandboxVerdict(model.ACCEPTED, reply["wall"], cpu_seconds=end["cpu"], memory_bytes=end["rss"])


def _at_case(verdict: SandboxVerdict, case: int) -> SandboxVerdict:
    return verdict if verdict.verdict == model.COMPILE_ERROR else replace(verdict, failed_case=case)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _wrong(case: Mapping[str, Any], actual: Any, place: int, seconds: float) -> SandboxVerdict:
    detail = f"expected {_short(judge.accepted_answers(case)[0])}, got {_short(actual)}"
    return SandboxVerdict(model.WRONG_ANSWER, seconds, detail, place)


class _Answers:
    """The answers of a function-mode run, compared as they come."""

    def __init__(self, cases: Sequence[Mapping[str, Any]], same: judge.Comparison | None) -> None:
        self.cases, self.same = cases, same
        self.values: list[Any] = []  # in tagged form
        self.wrong: SandboxVerdict | None = None
        self._offset = 0

    def take(self, written: bytes) -> None:
        """Reads the lines that are complete in what was written since the last time."""
        complete = written[: written.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.split(b"\n")[:-1]:
            if self.wrong is None and len(self.values) < len(self.cases):
                self._compare(line)

    @property
    def offset(self) -> int:
        return self._offset

    def _compare(self, line: bytes) -> None:
        place = len(self.values)
        try:
            tagged = json.loads(line)
            actual = wire.unpack(tagged)
        except Exception as error:  # whatever a program may write there, it is only its answer
            detail = f"not a value ({type(error).__name__})"
            self.wrong = SandboxVerdict(model.WRONG_ANSWER, 0.0, detail, place)
            return
        self.values.append(tagged)
        if self.same is not None and not any(self.same(e, actual) for e in judge.accepted_answers(self.cases[place])):
            self.wrong = _wrong(self.cases[place], actual, place, 0.0)


@dataclass
class _Launch:
    """How the program of a stdin-mode submission is started: its role, payload, artifact and limits."""

    role: str
    payload: bytes
    artifact: bytes | None = None
    limits: dict[str, int] = field(default_factory=dict)


class _Run:
    """One submission in one jail."""

    def __init__(self, jail: Jail, submission: Submission, settings: SandboxSettings, memory: Memory) -> None:
        self.jail, self.submission, self.tests = jail, submission, submission.tests
        self.settings, self.memory = settings, memory
        self.wall = submission.seconds or settings.seconds

    def _go(
        self,
        files: _Files,
        roles: list[tuple[str, dict[str, str]]],
        enough: Callable[[], bool] | None = None,
        wall: float | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """Runs `roles`, each with its files {name inside: name here}, within the settings' limits or those given."""
        wall = wall or self.wall
        usual = {
            "cpu": math.ceil(wall) + 1,
            "memory": self.settings.memory_mb << 20,
            "file": self.settings.output_mb << 20,
            "processes": self.settings.processes,
            "files": 64,
        }
        places = {name: place for place, name in enumerate(files.numbers)}
        wanted = [{"role": r, "files": {inner: places[outer] for inner, outer in names.items()}} for r, names in roles]
        request = {"wall": wall, "limits": {**usual, **(limits or {})}, "roles": wanted}
        return self.jail.run(request, list(files.numbers.values()), enough)

    def _failure(self, reply: Mapping[str, Any], files: _Files, native: bool = False) -> SandboxVerdict | None:
        """The verdict when the program itself failed; None when it ran to its end."""
        end, settings = reply["children"][0], self.settings
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
        if code == EXIT_COMPILE and not native:
            return SandboxVerdict(model.COMPILE_ERROR, detail=last_line, **facts)
        if (
            _native_memory(code, facts["stderr"] + files.tail("stdout", 200)) if native else code == EXIT_MEMORY
        ) or self.jail.ran_out_of_memory():
            return SandboxVerdict(model.MEMORY_LIMIT, detail=f"more than {settings.memory_mb} MiB", **facts)
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and end["cpu"] > 1.0):
            return SandboxVerdict(model.TIME_LIMIT, detail="CPU time", **facts)
        if code != 0:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return SandboxVerdict(model.RUNTIME_ERROR, detail=last_line or how, **facts)
        return None

    def _wants_prelude(self) -> bool:
        """LeetCode's convention: a `class Solution` is written without its imports."""
        return "class Solution" in self.submission.program

    def function(self) -> SandboxVerdict:
        """Calls the entry point on every case in one process, which is ended at the first wrong answer."""
        order = self.memory.order.order(self.tests)
        cases = [self.tests["cases"][place] for place in order]
        for case in cases:
            judge.accepted_answers(case)  # broken tests show before the program runs
        calls = [wire.pack(c["args"] if isinstance(c["args"], list | dict) else [c["args"]]) for c in cases]
        verdict = self._called(cases, calls)
        failed = verdict.failed_case
        if failed is None or failed >= len(order):
            return verdict
        if verdict.verdict != model.SANDBOX_ERROR:
            self.memory.order.note(self.tests, order[failed])
        return replace(verdict, failed_case=order[failed])

    def _called(self, cases: list[Mapping[str, Any]], calls: list[Any]) -> SandboxVerdict:
        content = {"entry_point": self.tests["entry_point"], "calls": calls, "prelude": self._wants_prelude()}
        answers = _Answers(cases, judge.value_comparison(self.tests))
        with ExitStack() as stack:
            files = _Files(stack, {})
            files.add("payload", _payload(program=self.submission.program, **content))
            for name in ("stdout", "stderr", "result"):
                files.add(name)

            def wrong_already() -> bool:
                answers.take(files.read("result", answers.offset))
                return answers.wrong is not None

            reply = self._go(files, [("calls", {name: name for name in files.numbers})], wrong_already)
            if wrong_already() and answers.wrong is not None:
                return replace(answers.wrong, seconds=reply["wall"])
            failure = self._failure(reply, files)
        if failure is not None:
            return _at_case(failure, len(answers.values))
        if len(answers.values) < len(cases):
            detail = f"ended before case {len(answers.values)} returned"
            return SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], detail, len(answers.values))
        return self._checked(cases, [c["args"] for c in cases], answers.values) or _accepted(reply)

    def _checked(
        self, cases: Sequence[Mapping[str, Any]], given: list[Any], tagged: list[Any]
    ) -> SandboxVerdict | None:
        """The verdict of the tests' own checker where they bring one; None when all is well."""
        if not judge.brings_checker(self.tests):
            return None
        expected = [judge.accepted_answers(case)[0] for case in cases]
        with ExitStack() as stack:
            files = _Files(stack, {})
            answers = [list(each) for each in zip(given, expected, tagged, strict=True)]
            files.add("payload", _payload(checker=self.tests["checker"], answers=answers))
            for name in ("stdout", "stderr", "result"):
                files.add(name)
            reply = self._go(files, [("check", {name: name for name in files.numbers})])
            said = files.read("result").split(b"\n")[:-1]
            if b"false" in said:
                place = said.index(b"false")
                return _wrong(cases[place], wire.unpack(tagged[place]), place, reply["wall"])
            if len(said) < len(cases):
                detail = f"the checker failed: {files.tail('stderr', 300).strip() or reply['killed'] or 'it ended'}"
                return SandboxVerdict(model.SANDBOX_ERROR, reply["wall"], detail)
        return None

    def stdin(self, language: str) -> SandboxVerdict:
        """One run per case, input to output, up to the first that fails."""
        launch = self._launch(language)
        if isinstance(launch, SandboxVerdict):
            return launch
        with self.jail.more_memory(RECIPES[language].more_mb if language != PYTHON else 0):
            return self._cases(launch)

    def _cases(self, launch: _Launch) -> SandboxVerdict:
        same = judge.output_comparison(self.tests)
        total = SandboxVerdict(model.ACCEPTED)
        for place in self.memory.order.order(self.tests):
            verdict = self._case(launch, self.tests["cases"][place], place, same)
            total = replace(
                verdict,
                seconds=total.seconds + verdict.seconds,
                cpu_seconds=total.cpu_seconds + verdict.cpu_seconds,
                memory_bytes=max(total.memory_bytes, verdict.memory_bytes),
            )
            if not verdict.accepted:
                if verdict.verdict not in (model.SANDBOX_ERROR, model.COMPILE_ERROR):
                    self.memory.order.note(self.tests, place)
                break
        return total

    def _case(
        self, launch: _Launch, case: Mapping[str, Any], place: int, same: judge.Comparison | None
    ) -> SandboxVerdict:
        expected = judge.accepted_answers(case)
        with ExitStack() as stack:
            files = _Files(stack, {})
            files.add("payload", launch.payload)
            files.add("stdin", str(case["input"]).encode(errors="replace"))
            files.add("stdout")
            files.add("stderr")
            if launch.artifact is not None:
                files.add("artifact", launch.artifact)
            reply = self._go(files, [(launch.role, {name: name for name in files.numbers})], limits=launch.limits)
            failure = self._failure(reply, files, native=launch.artifact is not None)
            actual = files.read("stdout").decode(errors="replace")
        if failure is not None:
            return _at_case(failure, place)
        if same is None:
            checked = self._checked([case], [str(case["input"])], [actual])
            return replace(checked, failed_case=place) if checked is not None else _accepted(reply)
        if not any(same(str(answer), actual) for answer in expected):
            return _wrong(case, actual, place, reply["wall"])
        return _accepted(reply)

    def _launch(self, language: str) -> "_Launch | SandboxVerdict":
        if language == PYTHON:
            return _Launch("program", _payload(program=self.submission.program))
        recipe = RECIPES[language]
        held = self.memory.compiled.get(language, self.submission.program)
        made = self._compile(language) if held is None else held
        if isinstance(made, SandboxVerdict):
            return made
        self.memory.compiled.put(language, self.submission.program, made)
        if isinstance(made, str):
            return SandboxVerdict(model.COMPILE_ERROR, detail=made)
        command = [part.replace("{memory}", str(self.settings.memory_mb)) for part in recipe.run]
        command[0], environment = java_tool("java") if language == JAVA else (command[0], {})
        limits = {
            "memory": (self.settings.memory_mb + recipe.extra_mb) << 20,
            "processes": self.settings.processes + recipe.processes,
            "file": max(self.settings.output_mb << 20, len(made)),
        }
        return _Launch("native", _payload(name=recipe.program, command=command, environment=environment), made, limits)

    def _compile(self, language: str) -> bytes | str | SandboxVerdict:
        """What the compiler made (bytes) or said (text); a verdict where we failed or it took too long."""
        recipe = RECIPES[language]
        name = java_class(self.submission.program) if language == JAVA else ""
        command = [part.replace("{class}", name) for part in recipe.compile]
        command[0], environment = java_tool("javac") if language == JAVA else (command[0], {})
        content = {"name": recipe.source.replace("{class}", name), "command": command, "product": recipe.product}
        with ExitStack() as stack:
            files = _Files(stack, {})
            files.add("payload", _payload(source=self.submission.program, environment=environment, **content))
            for each in ("stdout", "stderr", "artifact"):
                files.add(each)
            limits = {"memory": (_COMPILE_MB + recipe.extra_mb) << 20, "file": 64 << 20, "processes": 128}
            roles = [("compile", {each: each for each in files.numbers})]
            with self.jail.more_memory(_COMPILE_MB):
                reply = self._go(files, roles, wall=_COMPILE_SECONDS, limits=limits)
            said = files.tail("stderr", _STDERR_BYTES).strip() + files.tail("stdout", _STDERR_BYTES).strip()
            made = files.read("artifact")
        code = os.waitstatus_to_exitcode(reply["children"][0]["status"])
        if reply["killed"] == "wall":
            return SandboxVerdict(model.COMPILE_ERROR, reply["wall"], f"the compiler took over {_COMPILE_SECONDS:g} s")
        if code == EXIT_COMPILE:
            return _first_error(said)
        if code != 0 or not made:
            detail = "no compiler in the jail" if code == EXIT_NO_TOOL else f"the compiler failed: {code} {said[-200:]}"
            return SandboxVerdict(model.SANDBOX_ERROR, reply["wall"], detail)
        return made

    def unit(self) -> SandboxVerdict:
        """Runs the test code in one process against the program in another."""
        prelude = self._wants_prelude()
        with ExitStack() as stack:
            files = _Files(stack, {})
            files.add("program", _payload(program=self.submission.program, prelude=prelude))
            files.add("tests", _payload(tests=self.tests["code"], prelude=prelude))
            for name in ("stdout", "stderr", "result"):
                files.add(name)
            serve = {"payload": "program", "stdout": "stdout", "stderr": "stderr"}
            test = {"payload": "tests", "result": "result"}
            reply = self._go(files, [("serve", serve), ("test", test)])
            try:
                outcome = json.loads(files.read("result"))
            except ValueError:
                outcome = {"outcome": "gone", "detail": "the tests did not finish"}
            if outcome["outcome"] == "passed":
                return _accepted(reply)
            if outcome["outcome"] in _OUTCOMES:
                return SandboxVerdict(_OUTCOMES[outcome["outcome"]], reply["wall"], outcome["detail"])
            failure = self._failure(reply, files)
            return failure or SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], "ended before the tests did")


_OUTCOMES = {"failed": model.WRONG_ANSWER, "raised": model.RUNTIME_ERROR, "broken": model.SANDBOX_ERROR}


def _native_memory(code: int, said: str) -> bool:
    if code == _JVM_EXIT_MEMORY and "OutOfMemoryError" in said:
        return True
    return code < 0 and "bad_alloc" in said  # by SIGABRT; the first process of a name space cannot get that


def _first_error(said: str) -> str:
    lines = [line for line in said.splitlines() if "error" in line] or said.splitlines() or ["compile error"]
    return lines[0][:300]
