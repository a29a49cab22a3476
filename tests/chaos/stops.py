"""Stops a run by a signal at moments of its start, imports among them: exit 130 with one message, and nothing lost.

python tests/chaos/stops.py RUNS [--signal SIGINT] [--twice] [--step 0.5] [--until 20] [-- MORE OF ringlite run]

--twice sends the signal again after a third of a second, as somebody does who does not want to wait.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path


def stopped(command: list[str], number: signal.Signals, after: float, *, twice: bool) -> tuple[int, str]:
    """Return the exit code of a command that gets a signal after so many seconds, and all that it printed."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    time.sleep(after)
    process.send_signal(number)
    if twice:
        time.sleep(0.3)
        process.send_signal(number)  # nobody gets it where the process has ended
    return process.wait(240), process.communicate()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--signal", default="SIGINT")
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("--first", type=float, default=0.3)
    parser.add_argument("--step", type=float, default=0.5)
    parser.add_argument("--until", type=float, default=20)
    chosen, more = parser.parse_known_args()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "ringlite_cli",
        "run",
        "toy",
        "--runs-dir",
        str(chosen.runs),
        *more,
    ]
    after, bad = chosen.first, 0
    while after < chosen.until:
        code, said = stopped(command, signal.Signals[chosen.signal], after, twice=chosen.twice)
        lines = said.strip().splitlines()
        fine = code in (0, 130) and "Traceback" not in said
        bad += not fine
        last = lines[-1][:110] if lines else ""
        print(f"{after:.1f} s: exit {code} | {last}{'' if fine else ' | BAD ' + said[-1500:]}", flush=True)
        if code == 0:
            break
        after += chosen.step
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
