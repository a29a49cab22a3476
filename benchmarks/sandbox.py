"""The sandbox beside what it could not beat: bare fork + exec of the code, and `subprocess` per program.

    python benchmarks/sandbox.py [--seconds 5] [--workers 2]

All rows run in one process, one after the other; only ratios within one run mean anything.
"""

import argparse
import multiprocessing
import os
import time

from ringlite_cli.sandbox.bench import PROGRAM, TESTS, bench
from ringlite_cli.sandbox.model import SandboxSettings


def _bare(seconds: float, done: "multiprocessing.SimpleQueue[float]") -> None:
    """Fork, compile and run the program and its cases, wait: no isolation, no limits, no verdict from outside."""
    import gc

    gc.collect()
    gc.freeze()
    runs, started = 0, time.monotonic()
    while time.monotonic() < started + seconds:
        pid = os.fork()
        if pid == 0:
            space: dict[str, object] = {}
            exec(compile(PROGRAM, "program.py", "exec"), space)
            function = space["total"]
            for case in TESTS["cases"]:
                assert function(*case["args"]) == case["expected"]  # type: ignore[operator]
            os._exit(0)
        os.waitpid(pid, 0)
        runs += 1
    done.put(runs / (time.monotonic() - started))


def bare_rate(seconds: float, workers: int) -> float:
    """Runs a second of `workers` bare zygotes side by side, in fresh interpreters as small as a jail's."""
    context = multiprocessing.get_context("spawn")
    done = context.SimpleQueue()
    processes = [context.Process(target=_bare, args=(seconds, done)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(done.get() for _ in processes)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    bare = bare_rate(options.seconds, options.workers)
    ours = bench(SandboxSettings(workers=options.workers, isolation="none"), options.seconds)
    print(f"isolation {ours['isolation']}, {options.workers} workers, {ours['accepted']}/{ours['verdicts']} accepted")
    rows = {
        "bare fork + exec + wait": bare,
        "sandbox": ours["per_second"],
        "subprocess.run per program": ours["subprocess_per_second"],
    }
    slowest = rows["subprocess.run per program"]
    for name, rate in rows.items():
        print(f"{name:30} {rate:8.0f}/s   {rate / bare:5.2f} of bare   {rate / slowest:5.1f} x subprocess")
    print(f"sandbox latency p50 {ours['p50_ms']:.1f} ms, p99 {ours['p99_ms']:.1f} ms")


if __name__ == "__main__":
    main()
