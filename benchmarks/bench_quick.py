"""The short forms of the benchmarks that have an opponent: their ratios beside the stored ones (`make bench-quick`).

    python benchmarks/bench_quick.py                  all that this machine can run; a few minutes on two cores
    python benchmarks/bench_quick.py --only sandbox   one of them
    python benchmarks/bench_quick.py --store          keep the ratios as those to compare with
    python benchmarks/bench_quick.py --peer PYTHON    datatrove[io,processing] and spacy are in another Python than this

A ratio is ringlite's speed over its opponent's in the same run on the same machine: stock TRL's update phase and RL
step, raw vLLM, a bare fork + exec, datatrove. It says more than seconds, which a busy machine stretches for both.
Ratios are stored by machine class (the GPU's name, or the cores of a CPU) in benchmarks/ratios.json, and their history
is docs/experiments/ratios.md. Threads of OpenMP sleep soon on both sides, as they do under the command line: on a busy
machine both would mostly measure how they wait. Ends with 1 where a ratio is below 0.85 of its stored one, or where one
fails.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

STORED = Path(__file__).with_name("ratios.json")
LEAST = 0.85
"""The share of a stored ratio below which a benchmark has lost its lead."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark whose last line is `ratio R`. needs: packages without which it has no opponent here."""

    name: str
    opponent: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()


def benchmarks(*, gpu: bool) -> list[Benchmark]:
    """Return the benchmarks of a machine with or without a GPU."""
    update = ("update_phase.py", "--gpu") if gpu else ("update_phase.py", "--quick")
    short = () if gpu else ("--quick",)
    return [
        Benchmark("update phase", "stock TRL", update),
        Benchmark("RL step", "stock TRL", ("rl_step.py", *short), ("vllm",)),
        Benchmark("rollout", "raw vLLM", ("rollout.py", *short), ("vllm",)),
        Benchmark("sandbox", "bare fork + exec", ("sandbox.py", "--seconds", "5")),
        Benchmark("curation", "datatrove", ("curate.py", "--rows", "5000"), ("datatrove", "spacy")),
    ]


def with_peer(benchmark: Benchmark, python: str) -> Benchmark:
    """Return a benchmark whose opponent, if it is datatrove, runs in another Python."""
    if "datatrove" not in benchmark.needs:
        return benchmark
    return replace(benchmark, command=(*benchmark.command, "--peer", python), needs=())


def machine_class() -> str:
    """Return what ratios of this machine are comparable with."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"


def ratio_of(said: str) -> float | None:
    """Return R of the last line `ratio R` of a benchmark's output; None where there is none.

    >>> ratio_of("| a | 3 |\\nratio 2.50\\n")
    2.5
    """
    found = re.findall(r"^ratio ([0-9.]+)$", said, re.MULTILINE)
    return float(found[-1]) if found else None


def verdict(ratio: float, stored: float | None) -> str:
    """Return what a ratio says beside the stored one: new, ok or lost."""
    if stored is None:
        return "new"
    return "ok" if ratio >= LEAST * stored else "lost"


def measure(benchmark: Benchmark) -> tuple[float | None, str]:
    """Run a benchmark; return its ratio, or None and why there is none."""
    command = [sys.executable, str(Path(__file__).parent / benchmark.command[0]), *benchmark.command[1:]]
    environment = {"GOMP_SPINCOUNT": "1000", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    ratio = ratio_of(done.stdout)
    if done.returncode or ratio is None:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        return None, f"exit code {done.returncode}: {said[:120]}"
    return ratio, ""


def run(chosen: list[Benchmark], stored: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """Measure and print a row for each; return the ratios, and the names of those that failed or lost their lead."""
    ratios, bad = dict[str, float](), list[str]()
    print("| benchmark | opponent | ratio | stored | |\n|---|---|---|---|---|", flush=True)
    for each in chosen:
        lacking = [package for package in each.needs if find_spec(package) is None]
        ratio, why = (None, f"left out: no {', '.join(lacking)}") if lacking else measure(each)
        known = stored.get(each.name)
        said = why if ratio is None else verdict(ratio, known)
        shown = ["–" if value is None else f"{value:.2f}" for value in (ratio, known)]
        print(f"| {each.name} | {each.opponent} | {shown[0]} | {shown[1]} | {said} |", flush=True)
        if ratio is not None:
            ratios[each.name] = ratio
        if said == "lost" or (ratio is None and not lacking):
            bad.append(each.name)
    return ratios, bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="name of a benchmark; may be given several times")
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python with datatrove[io,processing] and spacy")
    options = parser.parse_args()
    machine = machine_class()
    known = benchmarks(gpu=not machine.startswith("CPU"))
    if options.peer:
        known = [with_peer(each, options.peer) for each in known]
    if unknown := set(options.only or ()) - {each.name for each in known}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in known)}")
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    print(f"{machine}, load {os.getloadavg()[0]:.1f}")
    chosen = [each for each in known if options.only is None or each.name in options.only]
    ratios, bad = run(chosen, stored.get(machine, {}))
    if options.store:
        stored[machine] = stored.get(machine, {}) | ratios
        STORED.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    elif bad:
        sys.exit(f"below {LEAST} of the stored ratio, or failed: {', '.join(bad)}")


if __name__ == "__main__":
    main()
