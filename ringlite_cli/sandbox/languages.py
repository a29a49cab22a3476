"""C++ and Java: how each is compiled and started, and a cache of what was compiled, by a hash of the source."""

import functools
import hashlib
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

PYTHON, CPP, JAVA = "python", "cpp", "java"
_NAMES = {
    "python": PYTHON, "python3": PYTHON, "py": PYTHON, "": PYTHON,
    "cpp": CPP, "c++": CPP, "cxx": CPP, "cc": CPP, "java": JAVA,
}  # fmt: skip
_PUBLIC_CLASS = re.compile(
    r"\bpublic\s+(?:(?:final|abstract|strictfp|sealed)\s+)*(?:class|interface|enum|record)\s+([A-Za-z_$][\w$]*)"
)
# Comments, text blocks, raw strings, strings, characters. Linear in whatever a program holds: what is left open ends
# with the text, a string with its line. A quote behind a digit parts digits (1'000).
_NOT_CODE = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)"
    r'|"""[ \t\f]*\n(?:\\.|[^\\])*?(?:"""|\Z)|\bu?8?[LU]?R"([^()\\\s"]{0,16})\(.*?(?:\)\1"|\Z)'
    r'|"(?:\\.|[^"\\\n])*+"?'
    r"|(?:(?<![0-9a-fA-F])|(?<=\bu8))'(?:\\.|[^'\\\n]){0,12}+'",
    re.DOTALL,
)
_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """Another version of a language, and the errors that it may mend.

    `errors` is a pattern for one line of what the compiler said; `unless` one that no such version mends, where all
    errors are of that kind.
    """

    flag: str
    errors: str
    unless: str = "(?!)"

    def mends(self, said: str) -> bool:
        """Return whether a source may compile in this version when another said that."""
        lines = [line for line in said.splitlines() if "error:" in line]
        return any(re.search(self.errors, line) and not re.search(self.unless, line) for line in lines)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a language runs. The files' names follow `compile`.

    `{memory}` in a command is the memory limit in MiB; `extra_mb` comes on top of it as address space, `more_mb` as
    memory. The CPU limit grows by `start_seconds` and by `share_of_cpu` of itself: what the language itself takes
    to start, and for its compiler's and collector's threads.
    """

    tool: str
    compile: tuple[str, ...]
    product: str
    program: str
    run: tuple[str, ...]
    extra_mb: int
    processes: int
    more_mb: int
    start_seconds: float = 0.0
    share_of_cpu: float = 0.0
    dialects: tuple["Dialect", ...] = ()

    def compilers(self, said: str) -> Iterator[tuple[str, ...]]:
        """The commands to try on a source that `compile` refused with `said`, one after the other."""
        for dialect in self.dialects:
            if dialect.mends(said):
                yield tuple(dialect.flag if part.startswith("-std=") else part for part in self.compile)


# The JVM reserves far more address space than it uses; its heap is what -Xmx bounds.
_JVM = (
    "-Xss256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:ReservedCodeCacheSize=64m",
    "-XX:CompressedClassSpaceSize=64m", "-XX:+ExitOnOutOfMemoryError", "-Xshare:auto",
)  # fmt: skip
RECIPES = {
    CPP: Recipe(
        "g++", ("g++", "-std=gnu++20", "-DONLINE_JUDGE", "-O2", "-pipe", "-w", "-o", "program"),
        "program", "program", ("./program",), 16, 0, 0,
        dialects=(
            # C++20 took words (`concept`, `requires`) and ways to write constructors
            Dialect("-std=gnu++17", "", unless="was not declared in this scope|No such file or directory"),
            # C++17 took names into std (`size`, `data`, `byte`), and exception specifications away
            Dialect("-std=gnu++14", "is ambiguous|dynamic exception specification"),
            Dialect("-std=gnu++11", "‘gets’ was not declared|'gets' was not declared"),
            Dialect("-std=gnu++23", "has no member named|is not a member of .std"),
        ),
    ),
    JAVA: Recipe(
        "javac",
        ("javac", "-J-Xmx512m", *(f"-J{flag}" for flag in _JVM), "-encoding", "UTF-8", "-nowarn", "-d", "."),
        "*.class", "program.jar",
        ("java", "-Xmx{memory}m", "-DONLINE_JUDGE=true", *_JVM, "-jar", "program.jar"), 8192, 48, 256,
        start_seconds=0.5, share_of_cpu=0.25,
    ),
}  # fmt: skip


def language_of(name: object) -> str | None:
    """Return python, cpp or java; None for another language."""
    return _NAMES.get(str(name or "").strip().lower())


@functools.cache
def has_compiler(language: str) -> bool:
    """Return whether this machine can compile `language`."""
    return language == PYTHON or shutil.which(RECIPES[language].tool) is not None


def java_class(source: str) -> str:
    """The name that a Java file must have: its public class's, else Main."""
    code, depth, at = code_only(source), 0, 0
    for found in _PUBLIC_CLASS.finditer(code):
        depth += code.count("{", at, found.start()) - code.count("}", at, found.start())
        at = found.start()
        if depth == 0:  # not a class within a class
            return found[1]
    return "Main"


def code_only(text: str) -> str:
    """`text` of the same length in which comments, strings and characters are blank."""
    return _NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


class Compiled:
    """Programs (bytes) and compile errors (text) by language and source; the oldest go beyond 256 MiB. Thread-safe."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, bytes | str] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0
        self.hits = 0

    def get(self, language: str, source: str) -> bytes | str | None:
        """Return what compiling `source` gave; None when it is not held."""
        with self._lock:
            found = self._held.get(_key(language, source))
            if found is not None:
                self._held.move_to_end(_key(language, source))
                self.hits += 1
            return found

    def put(self, language: str, source: str, outcome: bytes | str) -> None:
        """Keep what compiling gave."""
        with self._lock:
            if _key(language, source) not in self._held:
                self._held[_key(language, source)] = outcome
                self._size += len(outcome)
            while self._size > _CACHE_BYTES:
                self._size -= len(self._held.popitem(last=False)[1])


def _key(language: str, source: str) -> bytes:
    return hashlib.sha256(f"{language}\0{source}".encode("utf-8", "surrogatepass")).digest()
