"""The rollouts of an RL stage: the newest in rollouts.jsonl, older ones compressed beside it in rollouts/.

A short run has rollouts.jsonl alone. Once that file passes PART_BYTES it becomes rollouts/to-step-<last step>.jsonl.gz,
and a new one begins. One process writes; whoever reads, reads row by row.
"""

import gzip
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ringlite_cli.json_rows import sound_line, whole_lines
from ringlite_cli.model_text import loads
from ringlite_cli.presence import entries, is_there
from ringlite_cli.runs.files import MetricsWriter
from ringlite_cli.runs.row_types import RolloutRow
from ringlite_cli.whole import remove, whole

FILE, FOLDER = "rollouts.jsonl", "rollouts"
PART_BYTES = 256 << 20
"""Bytes of rollouts.jsonl after which it is compressed: seconds of work, and few files in a long run."""


class RolloutWriter:
    """Appends the rows of whole rollouts to a stage's log, and compresses what has grown long."""

    def __init__(self, stage: Path, part_bytes: int = PART_BYTES) -> None:
        self._stage, self._part_bytes = stage, part_bytes
        _drop_copy(stage)
        self._file = MetricsWriter(stage / FILE)
        self._last_step = 0

    def extend(self, rows: Iterable[RolloutRow]) -> None:
        """Append the rows of one rollout; their steps are later than those of the rollouts before."""
        made = list(rows)
        self._file.extend(made)
        self._last_step = max([self._last_step, *(row["step"] for row in made)])
        if (self._stage / FILE).stat().st_size > self._part_bytes:
            self._file.close()
            _compress(self._stage, self._last_step)
            self._file = MetricsWriter(self._stage / FILE)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "RolloutWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_rollouts(stage: Path) -> Iterator[RolloutRow]:
    """Yield all whole rows of a stage, oldest first, one in memory at a time; nothing where there are none."""
    return (sound_line(stage / FILE, line, number) for number, line in enumerate(rollout_lines(stage), 1))


def go_back_to(stage: Path, step: int) -> None:
    """Take a stage's rollouts back to the rows of steps up to this one. Killed in between, it can be called again."""
    _drop_copy(stage)
    parts = _parts(stage)
    later = [path for last, path in parts if last > step]
    if later:  # the earliest of them may begin before the step: what is kept of it is the newest file again
        with whole(stage / FILE) as partial, partial.open("wb") as kept, gzip.open(later[0]) as old:
            kept.writelines(line for line in whole_lines(old) if _step(line) <= step)
        for path in reversed(later):
            path.unlink()
    elif is_there(stage / FILE):
        _cut(stage / FILE, step)


def forget(stage: Path) -> None:
    """Remove all rollouts of a stage."""
    remove(stage / FILE)
    remove(stage / FOLDER)


def old_parts(stage: Path) -> list[Path]:
    """Return the compressed files of a stage, oldest first."""
    return [path for _, path in _parts(stage)]


def _cut(file: Path, step: int) -> None:
    """Truncate a file behind the last row of a step up to this one, where all later rows are of later steps."""
    end = place = 0
    with file.open("rb") as rows:
        for line in whole_lines(rows):
            place += len(line)
            if _step(line) <= step:
                end = place
        scattered = end and any(_step(line) > step for line in _first_bytes(rows, end))
    if scattered:
        with whole(file) as partial, partial.open("wb") as kept, file.open("rb") as rows:
            kept.writelines(line for line in whole_lines(rows) if _step(line) <= step)
    elif file.stat().st_size != end:
        with file.open("rb+") as rows:
            rows.truncate(end)


def _first_bytes(file: IO[bytes], end: int) -> Iterator[bytes]:
    file.seek(0)
    while file.tell() < end:
        yield file.readline()


def _compress(stage: Path, last_step: int) -> None:
    (stage / FOLDER).mkdir(exist_ok=True)
    with (
        whole(stage / FOLDER / f"to-step-{last_step:07}.jsonl.gz") as partial,
        (stage / FILE).open("rb") as rows,
        gzip.open(partial, "wb", compresslevel=1) as packed,
    ):
        shutil.copyfileobj(rows, packed, 1 << 20)
    (stage / FILE).unlink()


def _drop_copy(stage: Path) -> None:
    """Remove the newest file where a process was killed between compressing it and removing it."""
    parts, file = _parts(stage), stage / FILE
    if parts and is_there(file):
        with file.open("rb") as rows:
            first = next(whole_lines(rows), None)
        if first is not None and _step(first) <= parts[-1][0]:
            file.unlink()


def rollout_lines(stage: Path) -> Iterator[bytes]:
    """Yield the whole lines of all files of a stage, oldest first, without reading them as JSON."""
    parts = _parts(stage)
    for _, path in parts:
        with gzip.open(path) as rows:
            yield from whole_lines(rows)
    if is_there(stage / FILE):
        with (stage / FILE).open("rb") as rows:
            for line in whole_lines(rows):
                if parts and _step(line) <= parts[-1][0]:
                    return  # the copy that a killed process left
                yield line


def _parts(stage: Path) -> list[tuple[int, Path]]:
    """The compressed files with their last steps, oldest first."""
    found = [(path.name.removeprefix("to-step-").split(".")[0], path) for path in entries(stage / FOLDER, "*.jsonl.gz")]
    return sorted((int(step), path) for step, path in found if step.isdecimal())


def _step(line: bytes) -> int:
    """The step of a row; it stands first, so that a long row need not be parsed for it."""
    head, _, rest = line[:40].partition(b":")
    if head == b'{"step"':
        return int(rest.partition(b",")[0])
    return int(loads(line)["step"])
