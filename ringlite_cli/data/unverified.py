"""What models have answered and nobody has verified yet, kept on disk as each answer comes: a killed run asks for the
rest alone.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import MetricsWriter, cut_jsonl, read_jsonl
from ringlite_cli.samples import Request, SampledResponse


class UnverifiedResponses:
    """The answers in a file, `answers.jsonl` of a stage's folder; without token ids. Call from any thread."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._kept = {
            (row["problem_id"], row["index"]): SampledResponse(**row, token_ids=()) for row in read_jsonl(path)
        }
        self._log: MetricsWriter | None = None

    def get(self, problem_id: str, index: int) -> SampledResponse | None:
        return self._kept.get((problem_id, index))

    def all_of(self, request: Request) -> list[SampledResponse]:
        """Return the responses to a request in order; [] where one of them has not come."""
        found = [self.get(request.problem_id, index) for index in request.indices]
        return [sample for sample in found if sample] if all(found) else []

    def keep(self, samples: Iterable[SampledResponse]) -> None:
        """Write those responses that are not in the file yet."""
        with self._lock:
            new = {(s.problem_id, s.index): s for s in samples if (s.problem_id, s.index) not in self._kept}
            if new:
                self._log = self._log or MetricsWriter(self._path)
                self._log.extend(map(_row, new.values()))
                self._kept |= new

    def drop(self, samples: Iterable[SampledResponse]) -> None:
        """Remove responses that have been verified and logged elsewhere."""
        with self._lock:
            for sample in samples:
                self._kept.pop((sample.problem_id, sample.index), None)
            self._close()
            cut_jsonl(self._path, lambda row: (row["problem_id"], row["index"]) in self._kept)

    def forget(self) -> None:
        """Remove the file, when the stage is done."""
        with self._lock:
            self._close()
            self._kept.clear()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        log, self._log = self._log, None
        if log:
            log.close()


def _row(sample: SampledResponse) -> dict[str, Any]:
    return {
        "problem_id": sample.problem_id,
        "index": sample.index,
        "text": sample.text,
        "prompt_tokens": sample.prompt_tokens,
        "truncated": sample.truncated,
        "counted": sample.tokens,
        "prompt_end": sample.prompt_end,
    }
