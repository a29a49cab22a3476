"""Commands on a terminal (a pseudo-terminal of a given width) and without one, with what they wrote and when."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from small_walks import SELECT, small_recipe

PROGRAM = Path(__file__).parent / "noisy_run.py"
ROOT = Path(__file__).parents[1]


@dataclass
class Done:
    """How a command ended. seen: (seconds since its start, "out" or "err", line) in order."""

    code: int
    out: str
    err: str
    seen: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def all(self) -> str:
        return self.out + self.err


def environment(noise: str = "", **more: str) -> dict[str, str]:
    """The environment of a command, without what a test run sets for colours."""
    gone = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM")
    kept = {name: value for name, value in os.environ.items() if name not in gone}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return kept | {"PYTHONPATH": paths, "NOISE": noise, "TERM": "xterm-256color"} | more


def noisy(*words: str) -> list[str]:
    return [sys.executable, str(PROGRAM), *words]


def write_recipe(folder: Path) -> Path:
    """A recipe of three stages in a folder."""
    (folder / "walk.yaml").write_text(small_recipe(SELECT))
    return folder / "walk.yaml"


def piped(command: list[str], cwd: Path, env: dict[str, str], timeout: float = 120) -> Done:
    """Run a command whose output is read through pipes."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    seen: list[tuple[float, str, str]] = []

    def read(name: str) -> None:
        for line in getattr(process, f"std{name}"):
            seen.append((time.monotonic() - began, name, line))

    readers = [threading.Thread(target=read, args=(name,)) for name in ("out", "err")]
    for reader in readers:
        reader.start()
    try:
        process.wait(timeout)
    finally:
        process.kill()
        for reader in readers:
            reader.join()
    out, err = ("".join(line for _, where, line in seen if where == name) for name in ("out", "err"))
    return Done(process.returncode, out, err, seen)


def on_terminal(
    command: list[str], cwd: Path, env: dict[str, str], columns: int = 100, interrupt_at: Path | None = None
) -> Done:
    """Run a command on a terminal. interrupt_at: press Ctrl-C when this file is there."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and so would its children
        os.chdir(cwd)
        os.execvpe(command[0], command, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    parts, until = [], time.monotonic() + 120
    with contextlib.suppress(OSError):  # EIO: the command has ended
        while time.monotonic() < until:
            if interrupt_at is not None and interrupt_at.exists():
                interrupt_at = None
                os.write(terminal, b"\x03")
            os.set_blocking(terminal, False)
            try:
                if not (part := os.read(terminal, 65536)):
                    break
                parts.append(part)
            except BlockingIOError:
                time.sleep(0.02)
    os.close(terminal)
    with contextlib.suppress(ProcessLookupError):
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Done(code, b"".join(parts).decode(errors="replace"), "")


class Picture:
    """What stands on a terminal after some output: as much of a terminal as Rich's bars and our text use."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows, self.row, self.column = columns, [""], 0, 0

    def feed(self, text: str) -> "Picture":
        for found in re.finditer(r"\x1b\[([?\d;]*)([A-Za-z])|\r|\n|([^\x1b\r\n]+)", text):
            if found[3]:
                for character in found[3]:
                    self._put(character)
            elif found[0] == "\r":
                self.column = 0
            elif found[0] == "\n":
                self._down()
            elif found[2] == "A":
                self.row = max(0, self.row - int(found[1] or 1))
            elif found[2] == "K":
                self.rows[self.row] = "" if found[1] == "2" else self.rows[self.row][: self.column]
        return self

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            self._down()
            self.column = 0
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")
