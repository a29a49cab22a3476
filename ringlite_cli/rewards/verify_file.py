"""Verifies a JSONL file of responses, row by row: what `ringlite verify` does."""

import glob
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ringlite_cli.byte_streams import open_bytes
from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import Unreadable, json_line, json_lines, sound_rows
from ringlite_cli.model_text import bounded
from ringlite_cli.presence import check_is_file
from ringlite_cli.problems import ANSWERLESS, ROUTES, VERDICT_REVISION, Problem, Verdict
from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings
from ringlite_cli.thoughts import Tags, with_thought

_BATCH = 256
_DIGEST = 12


def verify_file(
    in_path: Path,
    out_path: Path,
    settings: VerifierSettings,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Write {"id", "verdict", "reward", "seconds", "detail"} per row of `in_path`, in its order, atomically.

    A row that cannot be verified as it stands (not JSON, no response, an unknown domain) gets the verdict `bad row`
    and is counted. Verdicts are kept as they come, in a file beside `out_path`: the same call after an interruption
    goes on there, unless the rows or the settings have changed. `progress` gets (rows done, rows in all), `say` what is
    worth a line. Returns verdict -> rows, the most frequent first. Raises UserError when the file is missing, has no
    rows or none that can be verified, and where `out_path` cannot be written or is `in_path`.
    """
    check_is_file(in_path)
    if out_path.is_dir() or (out_path.exists() and out_path.samefile(in_path)):
        raise UserError("the verdicts need a file of their own", where=str(out_path))
    rows, digest = _count(in_path)
    if not rows:
        raise UserError("the file has no rows", where=str(in_path))
    if fault := _nothing_to_verify(in_path, settings.thought_tags):
        raise UserError(
            f"none of its {rows:,} rows can be verified; row 0: {fault}",
            where=str(in_path),
            hint='a row is {"id", "domain", "response", "answer"}, or has "tests" in place of the answer for code',
        )
    partial = out_path.with_name(f"{out_path.name}.{_fingerprint(digest, settings)}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        counts = _resume(partial)
    except OSError as error:
        raise UserError(f"the verdicts cannot be written ({error.strerror})", where=str(out_path)) from None
    if counts and say:
        say(f"goes on after {counts.total():,} of {rows:,} rows")
    with Verifiers(settings) as verify, partial.open("a", encoding="utf-8") as out:
        if progress:
            progress(counts.total(), rows)
        for batch in _batches(in_path, skip=counts.total()):
            for row in _verify_batch(verify, batch, counts.total()):
                out.write(json.dumps(row, ensure_ascii=True) + "\n")
                counts[row["verdict"]] += 1
            out.flush()
            if progress:
                progress(counts.total(), rows)
        if verify.isolation and say:
            say(f"isolation of code: {verify.isolation}")
    partial.replace(out_path)
    for stale in out_path.parent.glob(f"{glob.escape(out_path.name)}.{'[0-9a-f]' * _DIGEST}.partial"):
        stale.unlink(missing_ok=True)
    return dict(counts.most_common())


def _count(path: Path) -> tuple[int, str]:
    """The rows of a file (lines that are not blank), and a digest of it."""
    rows, digest = 0, hashlib.sha256()
    with open_bytes(path) as lines:
        for line in lines:
            rows += bool(line.strip())
            digest.update(line)
    return rows, digest.hexdigest()


def _nothing_to_verify(path: Path, tags: Tags) -> str:
    """What is wrong with the first row where something is wrong with every row; else ""."""
    first = ""
    for number, line in enumerate(line for batch in _batches(path, skip=0) for line in batch):
        fault = _read_row(line, number, tags)[2]
        if not fault:
            return ""
        first = first or fault
    return first


def _fingerprint(digest: str, settings: VerifierSettings) -> str:
    settings = replace(settings, workers=1)
    return hashlib.sha256(f"{digest} {settings!r} {VERDICT_REVISION}".encode()).hexdigest()[:_DIGEST]


def _resume(partial: Path) -> Counter[str]:
    """Count the verdicts that are there, and cut off a line that was not written to its end."""
    counts: Counter[str] = Counter()
    whole = 0
    with partial.open("ab+") as held:
        held.seek(0)
        for line in held:
            try:
                verdict = json.loads(line)["verdict"]
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            counts[verdict] += 1
            whole += len(line)
        held.truncate(whole)
    return counts


def _batches(path: Path, skip: int) -> Iterator[list[bytes]]:
    with open_bytes(path) as lines:
        rest = islice((line for line in lines if line.strip()), skip, None)
        while batch := list(islice(rest, _BATCH)):
            yield batch


def _verify_batch(verify: Verifiers, lines: list[bytes], first: int) -> list[dict[str, Any]]:
    read = [_read_row(line, first + place, verify.settings.thought_tags) for place, line in enumerate(lines)]
    verdicts = iter(verify([(problem, response) for problem, response, fault in read if not fault]))
    rows = []
    for problem, _, fault in read:
        verdict = Verdict("bad row", 0.0, 0.0, bounded(fault)) if fault else next(verdicts)
        rows.append(
            {
                "id": problem.id,
                "verdict": verdict.verdict,
                "reward": verdict.reward,
                "seconds": round(verdict.seconds, 6),
                "detail": verdict.detail,
            }
        )
    return rows


def _read_row(line: bytes, number: int, tags: Tags) -> tuple[Problem, str, str]:
    """(problem, response, fault); the fault is empty for a row that can be verified.

    The field `thought_opened` (true, or the tag) says that the prompt opened a thought, which the response starts in.
    """
    row = json_line(line, number + 1)
    if isinstance(row, Unreadable):
        return Problem(str(number), "", ""), "", row.why
    answer, tests = row.get("answer"), row.get("tests")
    domain, route = str(row.get("domain", "")), str(row.get("verifier") or row.get("domain", ""))
    answer = None if answer == [] else answer
    if isinstance(answer, list) and route in ("math", "science"):  # alternatives; in logic a list is one answer
        answer = [each if isinstance(each, str) else json.dumps(each) for each in answer]
    answer = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
    problem = Problem(
        str(row.get("id", number)), domain, "", answer, tests if isinstance(tests, dict) else None,
        verifier=str(row.get("verifier") or ""),
    )  # fmt: skip
    if route not in ROUTES:
        return problem, "", f"no verifier for domain {route!r}; there are {', '.join(ROUTES)}"
    if not isinstance(row.get("response"), str):
        return problem, "", "no response text"
    if problem.answer is None and route not in ANSWERLESS:
        return problem, "", "no answer to verify against"
    if problem.tests is None and route == "code":
        return problem, "", "no tests to verify against"
    opened = row.get("thought_opened") or False
    if not isinstance(opened, bool | str):
        return problem, "", "thought_opened is neither true, false nor a tag"
    return problem, with_thought(row["response"], opened, tags), ""


def slowest(out_path: Path, most: int = 5) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of a file from `verify_file` that took longest, longest first, and the ids that timed out."""
    rows: list[dict[str, Any]] = []
    late = []
    for row in sound_rows(out_path, json_lines(out_path)):
        if row["verdict"] in ("timeout", "time limit"):
            late.append(row["id"])
        rows = sorted([*rows, row], key=lambda each: -each["seconds"])[:most]
    return rows, late
