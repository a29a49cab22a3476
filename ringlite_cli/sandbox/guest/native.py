"""Compiling inside the jail, and turning into a compiled program. Everything happens in the run's own folder."""

import os
import shutil
import sys
from typing import Any

EXIT_COMPILE, EXIT_NO_TOOL = 96, 95
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TMPDIR": "."}


INPUT_FILE = "/tmp/stdin"  # as long as /dev/stdin


def name_input() -> None:
    """Put what standard input holds into a file, for programs that open it by a name."""
    offset = 0
    with open(INPUT_FILE, "wb") as named:
        while part := os.pread(0, 1 << 20, offset):
            named.write(part)
            offset += len(part)


def compile_source(payload: dict[str, Any], files: dict[str, int]) -> None:
    """Write `payload["sources"]` by name, run `payload["command"]`, copy its product to `artifact`.

    The product is the file `payload["product"]`, or with the product "*.class" an archive of all classes that starts
    with the class `payload["start"]` ("": the one with a `main`).
    """
    for name, text in payload["sources"].items():
        with open(name, "wb") as source:
            source.write(text.encode("utf-8", "replace"))
    command = payload["command"]
    tool = shutil.which(command[0], path=_ENVIRONMENT["PATH"]) if "/" not in command[0] else command[0]
    if tool is None or not os.path.exists(tool):
        os._exit(EXIT_NO_TOOL)
    pid = os.posix_spawn(tool, command, _ENVIRONMENT | payload["environment"])
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        os._exit(EXIT_COMPILE)
    product = payload["product"]
    if product == "*.class":
        product = _archive(payload["start"], payload["prefer"])
    with open(product, "rb") as made:
        view = memoryview(made.read())
    while view:
        view = view[os.write(files["artifact"], view) :]


def _archive(start: str, prefer: str) -> str:
    """A jar of the classes here that starts with the class `start`, else with one that has a `main`.

    Of several, that is `prefer`, Main, or the first by name.
    """
    import zipfile

    classes = sorted(name for name in os.listdir(".") if name.endswith(".class"))
    contents = {name: open(name, "rb").read() for name in classes}  # noqa: SIM115
    starts = (
        [f"{start}.class"]
        if start
        else [n for n in classes if b"\x04main" in contents[n] and b"([Ljava/lang/String;)V" in contents[n]]
    )
    starts.sort(key=lambda name: (name != f"{prefer}.class", name != "Main.class"))
    if not starts:
        sys.stderr.write("no class with public static void main(String[])\n")
        sys.stderr.flush()
        os._exit(EXIT_COMPILE)
    with zipfile.ZipFile("program.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\nMain-Class: {starts[0][:-6]}\n\n")
        for name, content in contents.items():
            jar.writestr(name, content)
    return "program.jar"


def run_native(payload: dict[str, Any], files: dict[str, int]) -> None:
    """Write the artifact as `payload["name"]` and become `payload["command"]`."""
    number, offset = files["artifact"], 0
    with open(payload["name"], "wb") as program:
        while part := os.pread(number, 1 << 20, offset):
            program.write(part)
            offset += len(part)
    os.close(number)
    if payload["names_input"]:
        name_input()
    os.chmod(payload["name"], 0o755)
    os.execve(payload["command"][0], payload["command"], _ENVIRONMENT | payload["environment"])
