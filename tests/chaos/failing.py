"""Resumes a stopped run again and again, each time with another file operation that fails, and looks for what is lost.

    LD_PRELOAD=failing.so python tests/chaos/failing.py OUT [--stage rl-math] [--which open | write | read]
        [--error ESTALE | EIO | ENOSPC | SHORT] [--every N] [--more N]

Each resume is a real `ringlite run` in a process of its own, forked from one that has imported everything. It has to
end with a message or go on; no checkpoint and no row may be missing; and then the same command has to lead to what an
undisturbed run leaves. Where a place failed in the same way before, that last part is left out.
"""

import argparse
import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from driver import differences, left_by

STAGES = ("curate", "sft", "select", "rl-math", "rl-mixed", "eval")
WHICH = ("open", "write", "read")
"""Operations that fail, in the order of the shared library's numbers: open, look, list, rename, remove; write; read."""
SETTINGS = [
    *("stages.sft.checkpoints_per_epoch=2", "stages.curate.workers=1"),
    *(f"stages.{stage}.trl.save_steps=1" for stage in ("rl-math", "rl-mixed")),
    *("stages.select.num_generations=1", "stages.eval.num_generations=1", "stages.eval.policies=[base, select]"),
]


def preload() -> None:
    """Import what a run imports, so that every fork has it."""
    from ringlite_cli import __main__, cli  # noqa: F401
    from ringlite_cli.evals import evaluate  # noqa: F401
    from ringlite_cli.freeing import import_apart
    from ringlite_cli.report import build  # noqa: F401
    from ringlite_cli.sampling import transformers_sampler  # noqa: F401
    from ringlite_cli.stages.commands import run  # noqa: F401
    from ringlite_cli.stages.walk import pipeline  # noqa: F401
    from ringlite_cli.train.rl import run as rl  # noqa: F401
    from ringlite_cli.train.sft import run as sft

    import_apart("ringlite_cli.train.rl.trainer")
    sft._counting_trainer()


def forked(work: Callable[[], int], log: Path) -> int:
    """Return the exit code of a function in a process of its own, whose output goes to a file."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = 70
        try:
            code = work()
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def command(runs: Path, stage: str) -> int:
    from ringlite_cli.__main__ import run

    changes = [part for change in SETTINGS for part in ("--set", change)]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(["run", "toy", "--runs-dir", str(runs), "--to", stage, *changes])


def stopped(runs: Path, stage: str) -> int:
    """Run until the stage has left something, and stop it politely."""
    folder = runs / "toy" / stage

    def has_work() -> bool:
        if stage in ("sft", "rl-math", "rl-mixed"):
            return any(folder.glob("*/checkpoint-*/ringlite_seal.json"))
        files = [folder / name for name in ("verdicts.jsonl", "responses.jsonl")]
        return any(file.is_file() and file.stat().st_size > 0 for file in files)

    def watch() -> None:
        while not has_work():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    return command(runs, stage)


class Fault:
    """The shared library that makes operations fail."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(None)
        self.library.failed_at.restype = ctypes.c_char_p
        self.library.operations.restype = ctypes.c_long

    def set(self, folder: Path, at: int, error: int, more: int, which: int) -> None:
        self.library.fail_below(str(folder).encode(), ctypes.c_long(at), error, ctypes.c_long(more), which)

    def told(self) -> list[object]:
        return [self.library.operations(), self.library.failed_at().decode()]


def disturbed(runs: Path, stage: str, report: Path, at: int, error: int, more: int, which: int) -> int:
    fault = Fault()
    fault.set(runs / "toy", at, error, more, which)
    try:
        return command(runs, stage)
    finally:
        told = fault.told()
        fault.set(Path("/nowhere"), -1, 0, 0, 0)
        report.write_text(json.dumps(told))


def lost(before: Path, after: Path, stage: str, finished: bool) -> list[str]:
    """Return what was there and is no longer: sealed checkpoints, rows up to them, other stages' files."""
    found = []
    kept = {_seal(seal): seal for seal in after.rglob("ringlite_seal.json")}
    sealed = {_seal(seal): seal for seal in before.rglob("ringlite_seal.json")}
    if not finished:
        found += [f"checkpoint {name}" for name in sealed.keys() - kept.keys()]
        found += [f"damaged {kept[name].parent}" for name in sealed.keys() & kept.keys() if not _is_whole(kept[name])]
    for name in ("metrics.jsonl", "rollouts.jsonl", "responses.jsonl", "verdicts.jsonl"):
        old, new = before / stage / name, after / stage / name
        if old.is_file() and not finished:
            rows = new.read_bytes() if new.is_file() else b""
            lines = [line for line in old.read_bytes().split(b"\n")[:-1] if line]
            found += [f"a row of {name}"] if any(line not in rows for line in lines) else []
    earlier = tuple(f"{other}/" for other in STAGES[: STAGES.index(stage)])
    return found + [
        f"changed: {each}" for each in differences(left_by(before), left_by(after)) if each.startswith(earlier)
    ]


def _seal(path: Path) -> str:
    return f"{path.parent.name.split('.')[0]} {hash(path.read_bytes())}"


def _is_whole(seal: Path) -> bool:
    files = json.loads(seal.read_text())["files"]
    return all((seal.parent / name).stat().st_size == size for name, (size, _) in files.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stage", default="rl-math", choices=STAGES)
    parser.add_argument("--error", default="ESTALE", help="name of an errno, or SHORT: reads give half and do not fail")
    parser.add_argument("--which", default="open", choices=WHICH, help="the operations that fail")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--more", type=int, default=0, help="operations that fail behind the first")
    chosen = parser.parse_args()
    return sweep(chosen)


def template(out: Path, stage: str) -> tuple[Path, Path]:
    """Return a stopped run and a whole one, made where they are not there."""
    whole, stop = out / "whole", out / f"stopped-{stage}"
    if not (whole / "done").exists():
        shutil.rmtree(whole, ignore_errors=True)
        assert forked(lambda: command(whole, "eval"), out / "whole.log") == 0, (out / "whole.log").read_text()
        (whole / "done").touch()
    if not (stop / "done").exists():
        shutil.rmtree(stop, ignore_errors=True)
        (stop / "toy").mkdir(parents=True)
        for before in STAGES[: STAGES.index(stage)]:
            shutil.copytree(whole / "toy" / before, stop / "toy" / before)
        assert forked(lambda: stopped(stop, stage), out / "stop.log") == 130, (out / "stop.log").read_text()
        (stop / "done").touch()
    return whole, stop


def sweep(chosen: argparse.Namespace) -> int:
    out, stage = chosen.out.resolve(), chosen.stage
    out.mkdir(parents=True, exist_ok=True)
    preload()
    whole, stop = template(out, stage)
    ends, bad, places = Counter[int](), 0, set[str]()
    for at in range(chosen.first, chosen.last, chosen.every):
        runs, report, log = out / "work", out / "report.json", out / "work.log"
        shutil.rmtree(runs, ignore_errors=True)
        shutil.copytree(stop, runs)
        error = 0 if chosen.error == "SHORT" else getattr(errno, chosen.error)
        work = partial(disturbed, runs, stage, report, at, error, chosen.more, WHICH.index(chosen.which))
        code = forked(work, log)
        operations, failed = json.loads(report.read_text())
        if not failed:
            print(f"{operations} operations", flush=True)
            break
        ends[code] += 1
        faults = lost(stop / "toy", runs / "toy", stage, finished=code == 0)
        text = log.read_text()
        faults += ["a traceback"] if "Traceback" in text else []
        faults += [f"exit {code}"] if code not in (0, 1, 2, 130) else []
        place = re.sub(r"\d+", "N", failed)
        if place not in places or faults:
            again = forked(partial(command, runs, stage), out / "again.log") if code else 0
            faults += [f"again: exit {again}"] if again else []
            if not again:
                unlike = differences(left_by(whole / "toy"), left_by(runs / "toy"))
                faults += [f"again: {each} differs" for each in unlike if each.startswith(f"{stage}/")]
        places.add(place)
        if faults:
            bad += 1
            shutil.copy(log, out / f"bad-{stage}-{chosen.which}-{at}.log")
        said = text.strip().splitlines()[-1][:150] if text.strip() else ""
        print(f"{at} {failed}: exit {code}{'; LOST ' + '; '.join(faults) if faults else ''} | {said}", flush=True)
    print(f"{stage}: {sum(ends.values())} faults at {len(places)} places, exits {dict(ends)}, {bad} bad", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
