"""What is compiled for a C++ or Java submission: the program alone, or the program with a driver (folder `drivers`).

Mode function: the driver reads the calls as JSON from standard input and converts each argument to the type of the
function's parameter (numbers, texts, lists, tuples, mappings, optionals, LeetCode's list and tree nodes). A function
that returns nothing answers with its first argument, as LeetCode's "in place" problems do.
Mode unit: the test code is statements, or code with a `main` of its own. It shares the process with the program, which
passes only when a word that is made for each run arrives at the end: leaving early, a handler of the failure or a macro
named like `assert` does not pass, and what passes is run again with a word that must not arrive, so that a program that
found the word itself is seen. A C++ function that returns a type of its own which equals everything does pass: where
that matters, ask in mode function, whose expected values stay outside.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox.languages import CPP, code_only, java_class

_DRIVERS = Path(__file__).parent / "drivers"
_NODES = ("ListNode", "TreeNode")
_JAVA_DRIVER, JAVA_TESTS = "RingliteDriver", "RingliteTests"
_JAVA_IMPORTS = "import java.util.*; import java.util.function.*; import java.util.stream.*; import java.math.*; "
# Linear in whatever a program holds: an open comment goes to the end, an open string to the line's end.
_MACRO = re.compile(r"(?:#|%:)[ \t]*define[ \t]+(\w+)")
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[^\n]*$", re.MULTILINE)
_CPP_MAIN = re.compile(r"\bint\s+main\s*\(([^)]{0,500})\)\s*(\{)")
_PACKAGE = re.compile(r"^[ \t]*package\s+[\w.]+\s*;", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sources:
    """Files to compile, by name, and the class that starts (Java; "" for the one with a `main`)."""

    files: dict[str, str]
    start: str = ""
    prefer: str = ""  # of several classes with a `main`

    def key(self) -> str:
        """Return what the compiler's outcome depends on."""
        return "\0".join((self.start, self.prefer, *(part for item in self.files.items() for part in item)))


@functools.cache
def _driver(name: str) -> str:
    return (_DRIVERS / name).read_text(encoding="utf-8")


def sources_of(language: str, program: str, tests: Mapping[str, Any]) -> Sources:
    """The sources for the mode of `tests`. Raises KeyError for tests without what their mode needs."""
    if language == CPP:
        build = {"stdin": lambda: program, "function": lambda: _cpp_calls(program, str(tests["entry_point"]))}
        build["unit"] = lambda: _cpp_tests(program, str(tests["code"]))
        return Sources({"main.cpp": build[tests["mode"]]()})
    if tests["mode"] == "stdin":
        program = _without_package(program)
        return Sources({f"{java_class(program)}.java": program}, prefer=java_class(program))
    return _java(program, str(tests["code"]) if tests["mode"] == "unit" else "")


def _defines(program: str, name: str) -> bool:
    return re.search(rf"\b(?:struct|class)\s+{name}\b\s*(?:\{{|:|extends|implements)", code_only(program)) is not None


def _cpp_program(program: str, secret: str) -> str:
    """A program up to where a driver begins: its `main` renamed, its macros gone."""
    nodes = [_driver(f"{name}.hpp") for name in _NODES if not _defines(program, name)]
    macros = sorted({*_MACRO.findall(code_only(program.replace("\\\n", ""))), "main"})
    hidden = hashlib.sha256((program + "\0" + secret).encode("utf-8", "surrogatepass")).hexdigest()
    return "\n".join(
        [_driver("head.hpp"), *nodes, "#define main main_of_program", '#line 1 "main.cpp"', program]
        + [f"#undef {name}" for name in macros]
        + [f"#define RINGLITE ringlite_{hidden}", _driver("begin.hpp")]
    )


def _cpp_calls(program: str, entry_point: str) -> str:
    name = entry_point.rpartition(".")[2]
    entry = f"::Solution::{name}" if _defines(program, "Solution") else f"::{name}"
    return "\n".join([_cpp_program(program, name), f"#define RINGLITE_ENTRY {entry}", _driver("calls.hpp")])


def _cpp_tests(program: str, code: str) -> str:
    includes = _INCLUDE.findall(code)
    code = _INCLUDE.sub("", code)
    found = _CPP_MAIN.search(code_only(code))
    if found is None:
        body, call = f'static void tests() {{\n#line 1 "tests"\n{code}\n}}', "tests()"
    else:
        end = _closing_brace(code_only(code), found.start(2))
        body = f'#define main tests\n#line 1 "tests"\n{code[:end]};return 0;{code[end:]}\n#undef main'
        call = "tests(0, nullptr)" if "," in found[1] else "tests()"
    before = [_cpp_program(program, code), *includes, _driver("tests.hpp")]
    inside = ["namespace RINGLITE {", "using namespace std;", body, "}"]
    return "\n".join([*before, *inside, f"#define RINGLITE_TESTS {call}", _driver("passed.hpp")])


def _closing_brace(code: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(code)):
        depth += {"{": 1, "}": -1}.get(code[place], 0)
        if depth == 0:
            return place
    return len(code)


def _java(program: str, tests: str) -> Sources:
    program = _without_package(program)
    files = {f"{name}.java": _driver(f"{name}.java") for name in (*_NODES, _JAVA_DRIVER)}
    files = {name: text for name, text in files.items() if not _defines(program, name.removesuffix(".java"))}
    own = java_class(program)
    files[f"{own}.java"] = _JAVA_IMPORTS + program
    if tests:
        files[f"{JAVA_TESTS}.java"] = _JAVA_IMPORTS + _java_tests(_without_package(tests))
    return Sources(files, _JAVA_DRIVER)


def _without_package(source: str) -> str:
    """Java source without its package line: all files of a program lie in one folder."""
    found = _PACKAGE.search(code_only(source))
    return source if found is None else source[: found.start()] + source[found.end() :]


def java_classes(program: str) -> list[str]:
    """The classes in which a Java program's function is looked for, in order."""
    return list(dict.fromkeys(("Solution", java_class(program), "Main")))


def _java_tests(code: str) -> str:
    """Test code as the class RingliteTests: statements are put into its `main`, a class with a `main` is renamed."""
    starts = re.search(r"\bstatic\s+(?:final\s+)?void\s+main\s*\(", code_only(code))
    if starts is None:
        imports = re.findall(r"^\s*import[^;]*;", code, re.MULTILINE)
        code = re.sub(r"^\s*import[^;]*;", "", code, flags=re.MULTILINE)
        head = f"class {JAVA_TESTS} {{ public static void main(String[] none) throws Throwable {{"
        return f"{' '.join(each.strip() for each in imports)}{head}\n{code}\n}} }}"
    before = re.findall(r"\bclass\s+(\w+)", code_only(code)[: starts.start()])
    return re.sub(rf"\b{before[-1]}\b", JAVA_TESTS, code) if before else code


def names_in(code: str) -> list[str]:
    """The words of test code that may be names of classes."""
    return sorted(set(re.findall(r"\b[A-Z]\w*", code_only(code))))
