"""C++ and Java programs: compiled in the jail once per source, and how they are started."""

import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field

from ringlite_cli.sandbox import model
from ringlite_cli.sandbox.attempt import STDERR_BYTES, Attempt, RunFiles, payload
from ringlite_cli.sandbox.control import Suspected
from ringlite_cli.sandbox.guest.child import EXIT_COMPILE, EXIT_NO_TOOL
from ringlite_cli.sandbox.languages import JAVA, PYTHON, RECIPES, Recipe
from ringlite_cli.sandbox.model import SandboxVerdict
from ringlite_cli.sandbox.sources import Sources, sources_of
from ringlite_cli.sandbox.usage import Bounds
from ringlite_cli.sandbox.view import java_tool

_COMPILE_MB = 2048
_SAID_BYTES = 20_000
_COMPILE_BOUNDS = Bounds(30.0, _COMPILE_MB << 20)


@dataclass
class Launch:
    """How a program is started: its role, payload, artifact and limits."""

    role: str
    payload: bytes
    artifact: bytes | None = None
    limits: dict[str, int] = field(default_factory=dict)


def launch(attempt: Attempt, language: str) -> "Launch | SandboxVerdict":
    """Return how to start the program, compiled where its language asks for it; a verdict where it does not compile."""
    if language == PYTHON:
        return Launch("program", payload(program=attempt.submission.program, names_input=attempt.names_input))
    recipe = RECIPES[language]
    attempt.bounds = _bounds(attempt, recipe)
    sources = sources_of(language, attempt.submission.program, attempt.tests)
    held = attempt.memory.compiled.get(language, sources.key())
    made = _compiled(attempt, language, sources) if held is None else held
    if isinstance(made, SandboxVerdict):
        return made
    attempt.memory.compiled.put(language, sources.key(), made)
    if isinstance(made, str):
        return SandboxVerdict(model.COMPILE_ERROR, detail=made)
    command = [part.replace("{memory}", str(attempt.settings.memory_mb)) for part in recipe.run]
    command[0], environment = java_tool("java") if language == JAVA else (command[0], {})
    threads = language == JAVA or re.search(r"thread|std::async|\basync\(", attempt.submission.program)
    limits = {
        "memory": (attempt.settings.memory_mb + recipe.extra_mb) << 20,
        # a stack of this size is set aside for each thread of a program that starts some
        "stack": min(attempt.settings.memory_mb, 16 if threads else attempt.settings.memory_mb) << 20,
        "processes": attempt.settings.processes + recipe.processes,
        "file": max(attempt.settings.output_mb << 20, len(made)),
    }
    how = {"name": recipe.program, "command": command, "environment": environment, "names_input": attempt.names_input}
    return Launch("native", payload(**how), made, limits)


def _bounds(attempt: Attempt, recipe: Recipe) -> Bounds:
    """Return what a program may use: the settings' limits and what the language's own machine takes."""
    own = recipe.start_seconds + recipe.share_of_cpu * attempt.seconds
    return Bounds(attempt.seconds + own, (attempt.settings.memory_mb + recipe.more_mb) << 20)


def _compiled(attempt: Attempt, language: str, sources: Sources) -> bytes | str | SandboxVerdict:
    """What the compiler made (bytes), or its first error (text), in the first version of the language that fits."""
    recipe = RECIPES[language]
    made = _compile(attempt, language, sources, recipe.compile)
    if not isinstance(made, str):
        return made
    for compiler in recipe.compilers(made):
        again = _compile(attempt, language, sources, compiler)
        if not isinstance(again, str):
            return again
    return _first_error(made)


def _compile(
    attempt: Attempt, language: str, sources: Sources, compiler: tuple[str, ...]
) -> bytes | str | SandboxVerdict:
    """Return what the compiler made (bytes) or said (text, from its beginning); a verdict where it took too much or is
    missing.

    Raises Suspected where it failed otherwise: a source that fells the compiler is a compile error, a compiler that
    fails on every source is not.
    """
    recipe = RECIPES[language]
    command = [*compiler, *sources.files]
    command[0], environment = java_tool("javac") if language == JAVA else (command[0], {})
    content = {
        "sources": sources.files,
        "start": sources.start,
        "prefer": sources.prefer,
        "command": command,
        "product": recipe.product,
    }
    with ExitStack() as stack:
        files = RunFiles(stack, {})
        files.add("payload", payload(environment=environment, **content))
        for each in ("stdout", "stderr", "artifact"):
            files.add(each)
        limits = {
            "memory": (_COMPILE_MB + recipe.extra_mb) << 20,
            "file": 64 << 20,
            "processes": 128,
            "stack": 16 << 20,
        }
        roles = [("compile", {each: each for each in files.numbers})]
        with attempt.jail.more_memory(_COMPILE_MB):
            reply = attempt.go(files, roles, bounds=_COMPILE_BOUNDS, limits=limits)
        said = files.head("stderr", _SAID_BYTES).strip() + files.tail("stdout", STDERR_BYTES).strip()
        made = files.read("artifact")
    code = os.waitstatus_to_exitcode(reply["children"][0]["status"])
    if code == EXIT_NO_TOOL:
        return SandboxVerdict(model.SANDBOX_ERROR, reply["wall"], "no compiler in the jail")
    if reply["killed"] in ("cpu", "wall"):
        return SandboxVerdict(model.COMPILE_ERROR, reply["wall"], f"the compiler took over {_COMPILE_BOUNDS.cpu:g} s")
    if reply["killed"] == "memory" or attempt.jail.ran_out_of_memory():
        return SandboxVerdict(model.COMPILE_ERROR, reply["wall"], f"the compiler took over {_COMPILE_MB} MiB")
    if code == EXIT_COMPILE:
        return said
    if code != 0 or not made:
        detail = f"the compiler failed: {code} {said[-200:]}"
        raise Suspected(SandboxVerdict(model.COMPILE_ERROR, reply["wall"], detail))
    return made


def native_files(stack: ExitStack, how: Launch, given: str) -> RunFiles:
    """The files of a run of `how` with `given` as its input."""
    files = RunFiles(stack, {})
    files.add("payload", how.payload)
    files.add("stdin", given.encode(errors="replace"))
    files.add("stdout")
    files.add("stderr")
    if how.artifact is not None:
        files.add("artifact", how.artifact)
    return files


def _first_error(said: str) -> str:
    lines = [line for line in said.splitlines() if "error" in line] or said.splitlines() or ["compile error"]
    return lines[0][:300]
