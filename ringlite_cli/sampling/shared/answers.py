"""The files of answers: one a rank, appended as responses are drawn, read by the first rank as they grow."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import finite, read_json, read_jsonl
from ringlite_cli.samples import Request, SampledResponse
from ringlite_cli.sampling.shared.job import JOB, REQUESTS, Asked, messages_digest

AnswerRow = dict[str, Any]


class AnswerWriter:
    """Appends one rank's answers, on disk before the call returns: another machine may read them."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._file = answers_file(folder, rank).open("a", encoding="utf-8")

    def write(self, rows: Iterable[AnswerRow]) -> None:
        """Append rows."""
        self._file.writelines(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class AnswerReader:
    """Reads what ranks have appended since the last look; a row that is half written waits for its rest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[Path, int] = {}

    def new(self) -> Iterator[AnswerRow]:
        """Yield the new rows of all ranks. A rank that has just answered first has its file found here."""
        for file in sorted(self._folder.glob(answers_file(self._folder, None).name)):
            place = self._places.get(file, 0)
            with file.open("rb") as handle:
                handle.seek(place)
                found = handle.read()
            end = found.rfind(b"\n") + 1
            self._places[file] = place + end
            for line in found[:end].splitlines():
                yield json.loads(line)


def answers_file(folder: Path, rank: int | None) -> Path:
    """Return the file of a rank's answers in a job's folder; None: the pattern of all."""
    return folder / f"answers-{'*' if rank is None else rank}.jsonl"


def sample_row(sample: SampledResponse) -> AnswerRow:
    """Return a sample as a row, without the ids of its tokens."""
    return {
        "problem_id": sample.problem_id,
        "index": sample.index,
        "text": sample.text,
        "prompt_tokens": sample.prompt_tokens,
        "truncated": sample.truncated,
        "counted": sample.tokens,
        "prompt_end": sample.prompt_end,
        "logprob": sample.logprob,
        "entropy": sample.entropy,
    }


def sample_of(row: AnswerRow) -> SampledResponse:
    """Return the sample that a row tells of."""
    return SampledResponse(**row, token_ids=())


def earlier_answers(drawing: Path, key: str) -> dict[tuple[str, str], dict[int, AnswerRow]]:
    """Return the answers that sessions before this one have left: (problem id, digest of its messages) -> index -> row.

    drawing: the folder of all sessions. key: of the jobs whose answers may stand in.
    """
    known: dict[tuple[str, str], dict[int, AnswerRow]] = {}
    for head in sorted(drawing.glob(f"*/*/{JOB}")):
        if read_json(head)["key"] != key:
            continue
        asked = [Asked.of_row(row).request for row in read_jsonl(head.parent / REQUESTS)]
        digests = {request.problem_id: messages_digest(request) for request in asked}
        for file in head.parent.glob(answers_file(head.parent, None).name):
            for row in read_jsonl(file):
                known.setdefault((row["problem_id"], digests[row["problem_id"]]), {})[row["index"]] = row
    return known


def lacking(request: Request, known: dict[int, AnswerRow]) -> list[Request]:
    """Return the parts of a request whose answers are not known, each of adjacent indices."""
    parts: list[Request] = []
    for index in request.indices:
        if index in known:
            continue
        last = parts[-1] if parts else None
        if last is not None and last.indices.stop == index:
            parts[-1] = Request(last.problem_id, last.messages, last.num_generations + 1, last.first)
        else:
            parts.append(Request(request.problem_id, request.messages, 1, index))
    return parts
