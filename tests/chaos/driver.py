"""Kills a run at random moments, starts it again each time, and compares what it leaves with an undisturbed run.

    python tests/chaos/driver.py RECIPE OUT [--kills 50] [--seed 1] [--set KEY=VALUE ...]

Most kills are SIGKILL, some SIGTERM or SIGUSR1. Everything that a run decides is compared: weights byte by byte, rows
of metrics and rollouts without their times, responses, scores, sets. Prints a line per kill, and exits with 1 where
anything differs.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.runs.catalogue import timed

TIMES = (*timed("rl"), "seconds", "started", "finished")
UNORDERED = ("responses.jsonl", "asked.jsonl", "verdicts.jsonl")
"""Logs whose rows come in the order in which work was finished, which depends on where it was interrupted."""
MANIFEST = ("stage", "status", "fingerprint", "inputs", "outputs", "tokens", "metrics", "note", "message")
PASSING = (
    "run.log",
    "pulse.json",
    "resume.json",
    "forced.json",
    "error.txt",
    "report.html",
    "ringlite_seal.json",
    "README.md",
)
"""Files that say how the work went, and not what came of it; also those of the trainer's own checkpoints."""
TIMED = ("metrics.jsonl", *UNORDERED)
"""Files whose digest in a manifest knows times or orders; their rows are compared in themselves."""


@dataclass
class Outcome:
    """What the kills did: by signal, by the stage that they hit, and the exits that followed."""

    kills: list[dict[str, Any]] = field(default_factory=list)
    launches: int = 0

    def summary(self) -> str:
        hit = Counter(kill["stage"] for kill in self.kills)
        signals = Counter(kill["signal"] for kill in self.kills)
        return f"{len(self.kills)} kills ({dict(signals)}) in {self.launches} launches; by stage: {dict(hit)}"


def launch(recipe: str, runs: Path, more: list[str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ringlite_cli", "run", recipe, "--runs-dir", str(runs), *more]
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)


def disturb(recipe: str, runs: Path, more: list[str], kills: int, seed: int, longest: float) -> Outcome:
    """Runs to the end, killed so many times on the way; stops killing when a run must be let through."""
    rng, outcome, log = random.Random(seed), Outcome(), runs.with_suffix(".log")
    while True:
        process = launch(recipe, runs, more, log)
        outcome.launches += 1
        if len(outcome.kills) < kills and _waits(process, rng.uniform(2.0, longest)):
            number = rng.choices([signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1], [8, 1, 1])[0]
            stage = stage_at_work(runs)
            _end(process, number)
            outcome.kills.append({"signal": number.name, "stage": stage, "code": process.returncode})
            print(f"kill {len(outcome.kills)}: {number.name} in {stage}, exit {process.returncode}", flush=True)
            if process.returncode not in (0, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGUSR1):
                raise SystemExit(f"a run died of something else, see {log}")
            continue
        if process.wait() == 0:
            if len(outcome.kills) >= kills:
                return outcome
            print("finished before it was killed often enough: its last stages are taken away", flush=True)
            forget_half(runs, rng)
        elif process.returncode not in (0, 130):
            raise SystemExit(f"a run died by itself with {process.returncode}, see {log}")


def _waits(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether the process is still at work after so long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Sends the signal, and kills the whole group if a polite one is not heeded in two minutes."""
    process.send_signal(number)
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{number.name} was not heeded in 120 s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind


def forget_half(runs: Path, rng: random.Random) -> None:
    """Takes the manifests of the later stages away, so that the run has work again."""
    (run,) = [path for path in runs.iterdir() if path.is_dir()]
    manifests = sorted(run.glob("*/manifest.json"), key=lambda path: json.loads(path.read_text())["finished"])
    for path in manifests[rng.randrange(len(manifests)) :]:
        shutil.rmtree(path.parent)


def stage_at_work(runs: Path) -> str:
    found = []
    for path in runs.glob("*/*/manifest.json"):
        try:
            manifest = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if manifest["status"] == "running":
            found.append(manifest["stage"])
    return found[-1] if found else "before a stage"


def left_by(run: Path) -> dict[str, Any]:
    """File -> what it holds that a disturbance must not change."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        passing = path.name in PASSING or name.startswith(".") or "/checkpoints/checkpoint-" in name
        if not path.is_file() or (passing and not _is_sft_checkpoint(path)):
            continue
        found[name] = _content(path)
    return found


def _is_sft_checkpoint(path: Path) -> bool:
    """SFT's checkpoints are outputs of the stage; RL's are the trainer's own."""
    return path.parent.name.startswith("checkpoint-") and (path.parent / "ringlite.json").is_file()


def _content(path: Path) -> Any:
    if path.name == "manifest.json":
        manifest = json.loads(path.read_text())
        outputs = {n: e for n, e in manifest["outputs"].items() if Path(e["path"]).name not in TIMED}
        inputs = {n: e for n, e in manifest["inputs"].items() if Path(e["path"]).name not in TIMED}
        return {key: manifest[key] for key in MANIFEST} | {"outputs": outputs, "inputs": inputs}
    if path.suffix == ".jsonl":
        texts = [json.dumps(_decided(json.loads(line)), sort_keys=True) for line in path.read_text().splitlines()]
        return sorted(texts) if path.name in UNORDERED else texts
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _decided(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its times. The entropy of a sampled response knows, in its sixth digit, its batch's other rows."""
    row = {name: value for name, value in row.items() if name not in TIMES}
    return row | ({"entropy": round(row["entropy"], 4)} if "response" in row and row.get("entropy") else {})


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    names = sorted(one.keys() | other.keys())
    return [name for name in names if one.get(name) != other.get(name)]


def chaos(recipe: str, out: Path, more: list[str], kills: int, seed: int) -> tuple[Outcome, list[str]]:
    """The undisturbed run, the disturbed one, and the files in which they differ."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started = time.monotonic()
    if launch(recipe, out / "whole", more, out / "whole.log").wait() != 0:
        raise SystemExit(f"the undisturbed run failed, see {out / 'whole.log'}")
    seconds = time.monotonic() - started
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    outcome = disturb(recipe, out / "disturbed", more, kills, seed, longest=0.4 * seconds)
    (whole,), (disturbed,) = ([p for p in (out / n).iterdir() if p.is_dir()] for n in ("whole", "disturbed"))
    return outcome, differences(left_by(whole), left_by(disturbed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", dest="changes", action="append", default=[])
    arguments = parser.parse_args()
    more = [part for change in arguments.changes for part in ("--set", change)]
    outcome, unlike = chaos(arguments.recipe, arguments.out, more, arguments.kills, arguments.seed)
    print(outcome.summary())
    print(f"differs in {len(unlike)}: {', '.join(unlike)}" if unlike else "equal to the undisturbed run")
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
