"""A job: the responses of one policy that all ranks draw together, and the units that they take it by."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import read_json, read_jsonl, write_json, write_jsonl
from ringlite_cli.samples import Request, SamplingSettings

JOB, REQUESTS, UNITS, CLAIMS, OVER = "job.json", "requests.jsonl", "units.json", "claims", "over"
_PARTS = 4
"""The next unit is this fraction of a rank's even share of what is left: large units first, small ones last."""

Part = tuple[int, int, int]
"""Some responses of a request: its place among the job's requests, the first index, how many."""
Atom = list[Part]
"""What is drawn in one go: a batch, or responses that need no batch."""
Unit = list[Atom]


@dataclass(frozen=True)
class Asked:
    """A request of a job. trace: the response to be scored, where nothing is drawn."""

    request: Request
    trace: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the request as it stands in the job's file."""
        return asdict(self.request) | {
            "messages": [dict(message) for message in self.request.messages],
            "trace": self.trace,
        }

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> "Asked":
        """Read a request back."""
        fields = {name: row[name] for name in ("problem_id", "messages", "num_generations", "first")}
        return Asked(Request(**fields), row["trace"])


@dataclass(frozen=True)
class JobHead:
    """What the responses of a job depend on, besides their requests.

    kind: "draw", or "force" to score given traces. row_tokens: length of the packed rows by which entropy is computed;
    None: as the engine saw it. thinking: how traces are rendered. files: digest of the policy's files as the first rank
    sees them. key: what the job's answers have in common with those of another session that may stand in for them.
    """

    kind: str
    policy: str
    dtype: str
    settings: SamplingSettings
    row_tokens: int | None
    files: str
    key: str
    thinking: Any = "auto"

    @staticmethod
    def read(folder: Path) -> "JobHead":
        """Read the head of a job's folder."""
        row = read_json(folder / JOB)
        return JobHead(**{**row, "settings": SamplingSettings(**row["settings"])})


def write_job(folder: Path, head: JobHead, asked: Sequence[Asked], units: Sequence[Unit]) -> None:
    """Write a job; `job.json` comes last, so that whoever finds it finds the rest."""
    (folder / CLAIMS).mkdir(parents=True)
    write_jsonl(folder / REQUESTS, (each.row() for each in asked))
    write_json(folder / UNITS, [[[list(part) for part in atom] for atom in unit] for unit in units])
    write_json(folder / JOB, asdict(head))


class Job:
    """A job as a helper reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.head = folder, JobHead.read(folder)
        self.asked = [Asked.of_row(row) for row in read_jsonl(folder / REQUESTS)]
        self._units: list[Unit] = read_json(folder / UNITS)
        self.responses = sum(part[2] for unit in self._units for atom in unit for part in atom)

    @property
    def is_over(self) -> bool:
        """Return whether the first rank wants no more of it."""
        return (self.folder / OVER).exists() or not self.folder.exists()

    def claim(self) -> Iterator[list[list[Asked]]]:
        """Yield units that nobody has taken before, as atoms of requests, until there is none or the job is over."""
        for number, unit in enumerate(self._units):
            if self.is_over:
                return
            if _take(self.folder / CLAIMS / str(number)):
                yield [[self._part(part) for part in atom] for atom in unit]

    def _part(self, part: Sequence[int]) -> Asked:
        place, first, k = part
        whole = self.asked[place]
        return Asked(Request(whole.request.problem_id, whole.request.messages, k, first), whole.trace)


def _take(claim: Path) -> bool:
    """Make a file, and say whether it was not there: one process alone succeeds, also over NFS."""
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def cut_units(atoms: Sequence[Atom], ranks: int) -> list[Unit]:
    """Return the atoms in order as units, a quarter of an even share of what is left each: all ranks end together."""
    units, place = [], 0
    while place < len(atoms):
        size = max(1, (len(atoms) - place) // (_PARTS * ranks))
        units.append(list(atoms[place : place + size]))
        place += size
    return units


def single_atoms(asked: Sequence[Asked], ranks: int) -> list[Atom]:
    """Return requests as atoms for an engine without batches: some responses of one request each."""
    total = sum(each.request.num_generations for each in asked)
    most = max(1, total // (2 * _PARTS * ranks))
    return [
        [(place, first, min(most, each.request.indices.stop - first))]
        for place, each in enumerate(asked)
        for first in range(each.request.first, each.request.indices.stop, most)
    ]


def messages_digest(request: Request) -> str:
    """Return 16 hex digits of a request's conversation."""
    text = json.dumps([dict(message) for message in request.messages], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
