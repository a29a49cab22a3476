"""The sandbox and the math verifier beside what they could not beat, in one run.

    python benchmarks/sandbox.py [--seconds 10] [--workers 2] [--scale 16] [--soak 10000] [--math math500.json]

The rows take turns, a slice of time each, over and over: only ratios within one run mean anything. `--soak` runs that
many programs, one in 20 a bomb, and prints the verdicts and the memory at each quarter. `--math` checks the gold
answers of a file against themselves. The last line is `ratio R`: the sandbox's function mode over bare fork + exec.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections import Counter
from pathlib import Path
from statistics import median

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.bench import PROGRAM, TESTS, saturate, subprocess_rate

ROUNDS = 5
UNIT = {"mode": "unit", "code": "assert total([]) == 0\nassert total([1, 2]) == 5\nassert total([3]) == 9"}
BOMBS = (
    "import os\nwhile True: os.fork()",
    "kept = []\nwhile True: kept.append(bytearray(1 << 24))",
    "while True: print('x' * 65536)",
    "while True: pass",
    "for n in range(10**6): open(f'/tmp/{n}', 'w').write('x' * 4096)",
)


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


def rates(seconds: float, workers: int) -> float:
    """Print the table of rates and the sandbox's latency; return function mode over bare fork + exec."""
    table: dict[str, list[float]] = {"bare fork + exec + wait": [], "sandbox, function mode": []}
    table |= {"sandbox, unit mode": [], "subprocess.run per program": []}
    waits: list[float] = []
    with Sandbox(SandboxSettings(workers=workers, isolation="none")) as sandbox:
        sandbox.run_many([Submission(PROGRAM, TESTS), Submission(PROGRAM, UNIT)] * workers * 4)
        for _ in range(ROUNDS):
            part = seconds / ROUNDS
            table["bare fork + exec + wait"].append(bare_rate(part, workers))
            verdicts, waited, elapsed = saturate(sandbox, part)
            assert all(v.accepted for v in verdicts), Counter(v.verdict for v in verdicts)
            table["sandbox, function mode"].append(len(verdicts) / elapsed)
            waits += waited
            verdicts, _, elapsed = saturate(sandbox, part, Submission(PROGRAM, UNIT))
            table["sandbox, unit mode"].append(len(verdicts) / elapsed)
            table["subprocess.run per program"].append(subprocess_rate(workers, part))
        print(f"isolation {sandbox.isolation}, {workers} workers, {ROUNDS} rounds, load {os.getloadavg()[0]:.1f}")
    bare, slow = table["bare fork + exec + wait"], table["subprocess.run per program"]
    for name, each in table.items():
        of_bare = median(a / b for a, b in zip(each, bare, strict=True))
        of_slow = median(a / b for a, b in zip(each, slow, strict=True))
        print(f"{name:30} {median(each):8.0f}/s   {of_bare:5.2f} of bare   {of_slow:5.1f} x subprocess")
    waits.sort()
    print(f"latency p50 {1000 * waits[len(waits) // 2]:.1f} ms, p99 {1000 * waits[int(len(waits) * 0.99)]:.1f} ms")
    return median(a / b for a, b in zip(table["sandbox, function mode"], bare, strict=True))


def scaling(seconds: float, most: int) -> None:
    """Prints runs a second for 1, 2, 4 ... workers, and what a run costs the parent under its one GIL."""
    workers = 1
    while workers <= most:
        with Sandbox(SandboxSettings(workers=workers, isolation="none")) as sandbox:
            sandbox.run_many([Submission(PROGRAM, TESTS)] * workers * 4)
            before = os.times()
            verdicts, _, elapsed = saturate(sandbox, seconds / ROUNDS)
            after = os.times()
        user, rate = after.user - before.user, len(verdicts) / elapsed
        print(
            f"{workers:3} workers {rate:8.0f}/s   {rate / workers:6.0f}/s each   "
            f"parent {1e6 * user / len(verdicts):5.0f} us user, "
            f"{1e6 * (after.system - before.system) / len(verdicts):4.0f} us system a run"
        )
        workers *= 2


def _memory_mb(pids: set[int]) -> float:
    total = 0
    for pid in pids:
        try:
            pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        except OSError:
            continue
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total / 2**20


def _family(root: int) -> set[int]:
    found, todo = {root}, [root]
    while todo:
        for children in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            new = {int(pid) for pid in children.read_text().split()} - found
            found |= new
            todo += new
    return found


def soak(runs: int, workers: int) -> None:
    """Prints the verdicts of `runs` programs, one in 20 a bomb, and the memory of all processes at each quarter."""
    good, memory, verdicts = Submission(PROGRAM, TESTS), list[str](), Counter[str]()
    bombs = [Submission(bomb + "\n" + PROGRAM, TESTS, seconds=0.5) for bomb in BOMBS]
    programs = [bombs[n // 20 % len(bombs)] if n % 20 == 0 else good for n in range(runs)]
    with Sandbox(SandboxSettings(workers=workers, isolation="none")) as sandbox:
        for quarter in range(4):
            judged = sandbox.run_many(programs[quarter * runs // 4 : (quarter + 1) * runs // 4])
            verdicts.update(v.verdict for v in judged)
            memory.append(f"{_memory_mb(_family(os.getpid())):.0f}")
    print(f"soak: {verdicts.total()} verdicts of {runs} runs: {dict(verdicts)}; memory MB {' '.join(memory)}")


def gold(path: Path, workers: int) -> None:
    """Prints checks a second and how many are right, over gold answers against themselves and in another form."""
    rows = [row["answer"] for row in json.loads(path.read_text(encoding="utf-8"))]
    same = [(Problem(str(i), "math", "?", answer=a), f"\\boxed{{{a}}}") for i, a in enumerate(rows)]
    other = [(p, response.replace("\\boxed{", "\\boxed{0+")) for p, response in same]
    with Verifiers(VerifierSettings(workers=workers, isolation="none")) as verify:
        verify([(Problem("w", "math", "?", answer="\\frac{1}{3}"), f"\\boxed{{{n}/{3 * n}}}") for n in range(1, 9)])
        for name, pairs in (("against themselves", same), ("through the reader", other)):
            started = time.monotonic()
            verdicts = verify(pairs)
            right = sum(v.verdict == "correct" for v in verdicts)
            print(f"math {name:22} {len(pairs) / (time.monotonic() - started):8.0f}/s, {right}/{len(pairs)} correct")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--soak", type=int, default=0, help="programs to run, 5 %% of them bombs")
    parser.add_argument("--scale", type=int, default=0, help="rows for 1, 2, 4 ... workers up to this many")
    parser.add_argument("--math", type=Path, help="JSON list of rows with an answer")
    options = parser.parse_args()
    ratio = rates(options.seconds, options.workers)
    if options.scale:
        scaling(options.seconds, options.scale)
    if options.math:
        gold(options.math, options.workers)
    if options.soak:
        soak(options.soak, options.workers)
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
