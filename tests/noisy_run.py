"""The `ringlite` command with stages that take a second and print as libraries do: NOISE, then its own words.

NOISE: a comma-separated list of `noise`, `crash` (a bug in sft), `abort` (C code that ends the process in sft), `slow`
(sft sleeps), `hold` (sft waits until it is stopped), `flood` (megabytes of text in sft), `warn`.
"""

import atexit
import ctypes
import logging
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

from ringlite_cli.__main__ import main
from ringlite_cli.runs.files import write_json
from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.kinds import KINDS


def make_noise(where: str) -> None:
    """Print in all the ways in which a library can."""
    print(f"python stdout in {where}")
    print(f"python stderr in {where}", file=sys.stderr)
    os.write(1, f"descriptor 1 in {where}\n".encode())
    os.write(2, f"descriptor 2 in {where}\n".encode())
    libc = ctypes.CDLL(None)
    libc.puts(f"C stdout in {where}".encode())
    subprocess.run([sys.executable, "-c", f"print('a child in {where}')"], check=True)
    warnings.warn(f"a UserWarning in {where}", stacklevel=1)
    logging.getLogger("another.library").warning("logged by a library in %s", where)


def work(context: Context) -> StageResult:
    wanted, name = os.environ["NOISE"].split(","), context.name
    with context.console.progress(name, 4) as bar:
        for step in range(1, 5):
            time.sleep(0.05)
            bar.update(step, 4, f"note {step}", share=step / 4)
            if "noise" in wanted:
                make_noise(f"{name} step {step}")
    if name == "sft":
        misbehave(wanted)
    (context.folder / "out").mkdir()
    write_json(context.folder / "out" / "x.json", [1])
    names = ("base", "policy", "checkpoints", "traces", "math")
    return StageResult(dict.fromkeys(names, context.folder / "out"), summary=f"{name} is through")


def misbehave(wanted: list[str]) -> None:
    if "flood" in wanted:
        for number in range(3000):
            os.write(1, f"{number:06d} ".encode() + b"x" * 9_990 + b"\n")
    if "crash" in wanted:
        os.write(2, b"the library's last words\n")
        raise ZeroDivisionError("planted bug")
    if "abort" in wanted:
        os.write(2, b"terminate called after throwing an instance of 'c10::Error'\n")
        os.abort()
    if "slow" in wanted:
        time.sleep(7)
    if "hold" in wanted:
        Path("holding").touch()
        time.sleep(60)
    if "warn" in wanted:
        logging.getLogger("ringlite_cli.somewhere").warning("our own warning")


if __name__ == "__main__":
    atexit.register(os.write, 2, b"printed as the process ends\n")
    for kind, stage in KINDS.items():
        KINDS[kind] = replace(stage, run=work, preflight=tuple, code=("errors.py",))
    main()
