"""Right programs of three languages as contest archives hold them, and which of them the sandbox refuses.

    python benchmarks/contest_programs.py [--workers 2] [LANGUAGE ...]

Every program of contest_programs/*.txt reads a count and so many numbers, and prints their sum; what differs is how it
reads, writes, recurses and spells its language. A refusal that is known has its reason in the program's first line.
"""

import argparse
import random
import re
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission

FOLDER = Path(__file__).parent / "contest_programs"


def programs(language: str) -> list[tuple[str, str, str]]:
    """(name, why it is refused or "", source) of each program."""
    text = (FOLDER / f"{language}.txt").read_text(encoding="utf-8")
    parts = re.split(r"^### (\S+)(?: refused: (.*))?\n", text, flags=re.MULTILINE)[1:]
    return [(name, why or "", source) for name, why, source in zip(parts[::3], parts[1::3], parts[2::3], strict=True)]


def cases() -> list[dict[str, Any]]:
    """Inputs of 3, 1 and 20,000 numbers, with their sums."""
    draw = random.Random(1)
    numbers = [[draw.randint(-(10**9), 10**9) for _ in range(count)] for count in (3, 1, 20_000)]
    return [{"input": f"{len(a)}\n{' '.join(map(str, a))}\n", "output": f"{sum(a)}\n"} for a in numbers]


def main() -> None:
    """Prints the refused programs of each language, and how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", default=["python", "cpp", "java"])
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    for language in asked.languages:
        tests = {"mode": "stdin", "language": language, "cases": cases()}
        listed = programs(language)
        with Sandbox(SandboxSettings(workers=asked.workers)) as sandbox:
            verdicts = sandbox.run_many([Submission(source, tests) for _, _, source in listed])
        known = 0
        for (name, why, _), verdict in zip(listed, verdicts, strict=True):
            known += bool(why) and not verdict.accepted
            if not verdict.accepted and not why:
                print(f"  {name}: {verdict.verdict}, {verdict.detail}")
        accepted = sum(verdict.accepted for verdict in verdicts)
        print(f"{language}: {accepted} of {len(listed)} accepted, {known} refused for a known reason")


if __name__ == "__main__":
    main()
