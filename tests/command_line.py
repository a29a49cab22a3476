"""The command line without a new process: importing torch again for every command is most of what a short one costs.

Use a process (`python -m ringlite_cli`) where signals, ranks, or what a new process imports are what is tested.
"""

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from ringlite_cli import domains, own_code
from ringlite_cli.__main__ import run


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def ringlite(*arguments: str, cwd: Path | None = None) -> Said:
    """Run one command line in this process, in the folder `cwd`; what a crash raises goes through."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(cwd or os.curdir):
        try:
            code = run(list(arguments))
        finally:
            own_code.declare([], None)
            domains.declare({})
    return Said(code, out.getvalue(), err.getvalue())
