"""Verdicts that a stage has had already, kept on disk: a stage which was stopped does not ask for them again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ringlite_cli.problems import NO_VERDICT, VERDICT_REVISION, Problem, Verdict, Verify
from ringlite_cli.runs.files import MetricsWriter, read_jsonl
from ringlite_cli.thoughts import Tags, tags_of


class Remembered:
    """A verifier with a memory: verdicts.jsonl in the stage's folder, a batch written when it is verified."""

    def __init__(self, verify: Verify, folder: Path) -> None:
        self._verify, self._path = verify, folder / "verdicts.jsonl"
        self._known = {row.pop("key"): Verdict(**row) for row in read_jsonl(self._path)}
        self._log = MetricsWriter(self._path)

    @property
    def thought_tags(self) -> Tags:
        """The tags of thoughts that the verifier knows."""
        return tags_of(self._verify)

    def __call__(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        keys = [_key(problem, response) for problem, response in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._known}
        found = dict(zip(new, self._verify(list(new.values())), strict=True)) if new else {}
        lasting = {key: verdict for key, verdict in found.items() if verdict.verdict not in NO_VERDICT}
        self._log.extend({"key": key, **asdict(verdict)} for key, verdict in lasting.items())
        self._known |= lasting
        return [found[key] if key in found else self._known[key] for key in keys]

    def forget(self) -> None:
        """Remove the memory, when the stage is done."""
        self._log.close()
        self._path.unlink(missing_ok=True)


def _key(problem: Problem, response: str) -> str:
    """Return what a verdict depends on."""
    parts = [
        VERDICT_REVISION,
        problem.domain,
        problem.verifier,
        problem.prompt,
        problem.answer,
        problem.tests,
        response,
    ]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
