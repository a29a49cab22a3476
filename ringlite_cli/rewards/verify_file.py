"""Verifies a JSONL file of responses, row by row: what `ringlite verify` does."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.verifiers import ANSWERLESS, ROUTES, Verifiers, VerifierSettings

_BATCH = 256


def verify_file(
    in_path: Path, out_path: Path, settings: VerifierSettings, progress: Callable[[int, int], None] | None = None
) -> dict[str, int]:
    """Writes {"id", "verdict", "reward", "seconds", "detail"} per row of `in_path`, in its order, atomically.

    A row that cannot be verified as it stands (not JSON, no response, an unknown domain) gets the verdict `bad row`
    and is counted. `progress` gets (rows done, rows in all). Returns verdict -> rows, the most frequent first.
    Raises UserError when the file is missing or has no rows.
    """
    if not in_path.is_file():
        raise UserError("no such file", where=str(in_path))
    lines = [line for line in in_path.read_bytes().splitlines() if line.strip()]
    if not lines:
        raise UserError("the file has no rows", where=str(in_path))
    partial = out_path.with_name(out_path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with Verifiers(settings) as verify, partial.open("w", encoding="utf-8") as out:
        for batch in _batches(lines):
            for row in _verify_batch(verify, batch, counts.total()):
                out.write(json.dumps(row, ensure_ascii=True) + "\n")
                counts[row["verdict"]] += 1
            if progress:
                progress(counts.total(), len(lines))
    partial.replace(out_path)
    return dict(counts.most_common())


def _batches(lines: list[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _verify_batch(verify: Verifiers, lines: list[bytes], first: int) -> list[dict[str, Any]]:
    read = [_read_row(line, first + place) for place, line in enumerate(lines)]
    verdicts = iter(verify([(problem, response) for problem, response, fault in read if not fault]))
    rows = []
    for problem, _, fault in read:
        verdict = Verdict("bad row", 0.0, 0.0, fault) if fault else next(verdicts)
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


def _read_row(line: bytes, number: int) -> tuple[Problem, str, str]:
    """(problem, response, fault); the fault is empty for a row that can be verified."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem(str(number), "", ""), "", f"not JSON: {error}"
    if not isinstance(row, dict):
        return Problem(str(number), "", ""), "", "not a JSON object"
    answer, tests = row.get("answer"), row.get("tests")
    answer = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
    domain, route = str(row.get("domain", "")), str(row.get("verifier") or row.get("domain", ""))
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
    return problem, row["response"], ""


def slowest(out_path: Path, most: int = 5) -> tuple[list[dict[str, Any]], list[str]]:
    """Of a file that `verify_file` wrote: the rows that took longest, longest first, and the ids that timed out."""
    rows = [json.loads(line) for line in out_path.read_text(encoding="utf-8").splitlines()]
    late = [row["id"] for row in rows if row["verdict"] in ("timeout", "time limit")]
    return sorted(rows, key=lambda row: -row["seconds"])[:most], late
