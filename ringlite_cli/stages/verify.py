"""The verifiers and the sandbox as tools of their own: `ringlite verify`, `ringlite sandbox run` and `bench`."""

import json
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError


def verify_rows(file: Path, out: Path, console: Console, *, workers: int, isolation: str) -> None:
    """Verifies a JSONL file of responses and prints what came out."""
    from ringlite_cli.rewards.verifiers import VerifierSettings
    from ringlite_cli.rewards.verify_file import verify_file

    if not file.is_file():
        raise UserError("no such file", where=str(file))
    if isolation not in ("full", "partial", "none"):
        raise UserError(f"{isolation!r} is not full, partial or none", where="--isolation")
    settings = VerifierSettings(workers=workers, isolation=isolation)
    with console.progress("verify", 1) as bar:
        counts = verify_file(file, out, settings, bar.update)
    for verdict, count in sorted(counts.items(), key=lambda item: -item[1]):
        console.say(f"{count:8,}  {verdict}")
    console.say(f"verdicts: {out}")


def sandbox_bench_text(seconds: float, workers: int) -> str:
    """What the sandbox reaches on this machine, a line per figure."""
    from ringlite_cli.sandbox.bench import bench
    from ringlite_cli.sandbox.model import SandboxSettings

    figures = bench(SandboxSettings(workers=workers), seconds)
    return "\n".join(
        f"{name:<24} {x:,.1f}" if isinstance(x, float) else f"{name:<24} {x}" for name, x in figures.items()
    )


def sandbox_run_text(file: Path, tests: Path) -> str:
    """The verdict of one program, as a line."""
    from ringlite_cli.problems import Problem
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

    for path in (file, tests):
        if not path.is_file():
            raise UserError("no such file", where=str(path))
    try:
        wanted = json.loads(tests.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=str(tests)) from None
    if not isinstance(wanted, dict):
        raise UserError("tests are a mapping with mode, language and cases or code", where=str(tests))
    language = wanted.setdefault("language", "python")
    response = f"```{language}\n{file.read_text(encoding='utf-8', errors='replace')}\n```"
    with Verifiers(VerifierSettings(workers=1)) as verify:
        verdict = verify([(Problem(file.name, "code", "", tests=wanted), response)])[0]
    return f"{verdict.verdict} in {verdict.seconds:.3f} s {verdict.detail}".rstrip()
