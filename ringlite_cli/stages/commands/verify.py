"""The verifiers and the sandbox as tools of their own: `ringlite verify`, `ringlite sandbox run` and `bench`."""

import json
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.limits import ISOLATION, LEVELS
from ringlite_cli.presence import check_is_file


def verify_rows(
    file: Path, out: Path, console: Console, *, workers: int, isolation: str, trust_compiled_tests: bool = False
) -> None:
    """Verify a JSONL file of responses and print what came out."""
    from ringlite_cli.rewards.settings import VerifierSettings
    from ringlite_cli.rewards.verify_file import slowest, verify_file

    check_is_file(file)
    if isolation not in LEVELS:
        raise UserError(f"{isolation!r} is not full, partial or none", where="--isolation")
    settings = VerifierSettings(workers=workers, isolation=isolation, trust_compiled_tests=trust_compiled_tests)
    with console.progress("verify", 1) as bar:
        counts = verify_file(file, out, settings, bar.update, console.say)
    for verdict, count in sorted(counts.items(), key=lambda item: -item[1]):
        console.say(f"{count:8,}  {verdict}")
    rows, late = slowest(out)
    console.say("slowest: " + ", ".join(f"{row['id']} {row['seconds']:.2f} s" for row in rows))
    shown = ", ".join(late[:10]) + (f" and {len(late) - 10:,} more" if len(late) > 10 else "")
    console.say(f"time-outs: {len(late):,}" + (f" ({shown})" if late else ""))
    console.say(f"verdicts: {out}")


def explained(gold: str, answer: str, tolerance: float) -> str:
    """Return how a gold answer and an answer are read, and whether they are the same."""
    from ringlite_cli.rewards.reading.verdict import explain

    return explain(gold, answer, tolerance)


def sandbox_bench_text(seconds: float, workers: int) -> str:
    """Return what the sandbox reaches on this machine, a line per figure."""
    from ringlite_cli.sandbox.bench import bench
    from ringlite_cli.sandbox.model import SandboxSettings

    figures = bench(SandboxSettings(workers=workers), seconds)
    return "\n".join(
        f"{name:<24} {x:,.1f}" if isinstance(x, float) else f"{name:<24} {x}" for name, x in figures.items()
    )


def sandbox_run(file: Path, tests: Path, console: Console, isolation: str = ISOLATION) -> bool:
    """Print the verdict of one program, with the end of what it wrote to its error stream; return whether it passed."""
    from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission

    for path in (file, tests):
        check_is_file(path)
    try:
        wanted = json.loads(tests.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=str(tests)) from None
    if not isinstance(wanted, dict):
        raise UserError("tests are a mapping with mode, language and cases or code", where=str(tests))
    wanted.setdefault("language", _LANGUAGES.get(file.suffix, "python"))
    with Sandbox(SandboxSettings(workers=1, isolation=isolation)) as sandbox:
        level = str(sandbox.isolation)
        verdict = sandbox.run(Submission(file.read_text(encoding="utf-8-sig", errors="replace"), wanted))
    case = f"case {verdict.failed_case}" if verdict.failed_case is not None else ""
    detail = "; ".join(part for part in (case, verdict.detail) if part)
    lines = [f"{verdict.verdict} in {verdict.seconds:.3f} s {detail}".rstrip(), f"isolation: {level}"]
    console.say("\n".join(lines + ([verdict.stderr.rstrip()] if verdict.stderr.strip() else [])))
    return verdict.accepted


_LANGUAGES = {".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".java": "java"}
