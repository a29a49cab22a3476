"""What one pass of curation leaves in a folder for the next: arrays without objects, and lines of JSON.

Nothing that is read back can run code, whoever wrote the folder; a file of another shape is an error that names it.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.features import BANDS, Features
from ringlite_cli.data.output import write_jsonl
from ringlite_cli.data.rows import CuratedRow, Spool
from ringlite_cli.data.sources import Counted
from ringlite_cli.data.text import NO_GRAMS
from ringlite_cli.errors import UserError
from ringlite_cli.whole import whole

Arrays = Mapping[str, NDArray[Any]]
_NOTHING = -1  # the code of None


@dataclass(frozen=True)
class Names:
    """Many texts of which few differ: the distinct ones, and which of them each place holds."""

    known: NDArray[np.str_]
    codes: NDArray[np.int16]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        numbers: dict[str, int] = {}
        codes = [_NOTHING if text is None else numbers.setdefault(text, len(numbers)) for text in texts]
        return cls(np.array(list(numbers), np.str_), np.array(codes, np.int16))

    def __getitem__(self, place: int) -> str | None:
        code = int(self.codes[place])
        return None if code == _NOTHING else str(self.known[code])

    def __iter__(self) -> Iterator[str | None]:
        known = self.known.tolist()
        return (None if code == _NOTHING else known[code] for code in self.codes.tolist())


@dataclass(frozen=True)
class Places:
    """Where rows of a part stand, (rows,) each: position in the part, offset in its spool; and what is known."""

    position: NDArray[np.int32]
    offset: NDArray[np.int64]
    strict: NDArray[np.bool_]
    verified: Names

    @classmethod
    def of(cls, rows: Sequence[CuratedRow], positions: Iterable[int]) -> Self:
        return cls(
            np.array(list(positions), np.int32),
            np.array([row.offset for row in rows], np.int64),
            np.array([row.strict for row in rows], np.bool_),
            Names.of(row.verified for row in rows),
        )

    def __len__(self) -> int:
        return len(self.position)

    def row(self, place: int, spool: Spool, split: str) -> CuratedRow:
        """One of the rows, numbered by its position."""
        row = CuratedRow.spooled(spool, int(self.offset[place]), split)
        row.number, row.strict = int(self.position[place]), bool(self.strict[place])
        row.verified = self.verified[place] or ""
        return row

    def rows(self, spool: Spool, split: str) -> list[CuratedRow]:
        """All of them."""
        return [self.row(place, spool, split) for place in range(len(self))]

    def without(self, places: NDArray[np.int64]) -> "Places":
        """The same but for some of them."""
        left = np.delete(np.arange(len(self)), places)
        names = Names(self.verified.known, self.verified.codes[left])
        return Places(self.position[left], self.offset[left], self.strict[left], names)


class Stored(Sequence[CuratedRow]):
    """The rows of several parts in order, each made when it is asked for, so that memory holds some bytes a row."""

    def __init__(self, spools: Sequence[Spool], parts: Sequence[Places], split: str) -> None:
        self.spools, self.parts, self.split = spools, parts, split
        self.starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @overload
    def __getitem__(self, place: int) -> CuratedRow: ...
    @overload
    def __getitem__(self, place: slice) -> list[CuratedRow]: ...
    def __getitem__(self, place: int | slice) -> CuratedRow | list[CuratedRow]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        part = int(np.searchsorted(self.starts, place, "right")) - 1
        row = self.parts[part].row(place - int(self.starts[part]), self.spools[part], self.split)
        row.place = place
        return row

    def split_up(self, places: Iterable[int]) -> list[NDArray[np.int64]]:
        """The places of each part among some of all, ascending, counted from the part's first."""
        chosen = np.array(sorted(places), np.int64)
        edges = np.searchsorted(chosen, self.starts)
        return [chosen[a:b] - start for a, b, start in zip(edges[:-1], edges[1:], self.starts[:-1], strict=True)]


@dataclass(frozen=True)
class Folder:
    """Files of passes, by what they hold and the part that they belong to."""

    path: Path

    def file(self, kind: str, part: int, suffix: str = "") -> Path:
        """The file of one kind that belongs to a part."""
        return self.path / kind / f"{part:05}{suffix}"

    def fresh(self, kind: str, part: int, suffix: str = "") -> Path:
        """The same, in a folder that is there."""
        path = self.file(kind, part, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_lines(self, kind: str, part: int, lines: Iterable[dict[str, Any]]) -> None:
        write_jsonl(self.file(kind, part, ".jsonl"), lines)

    def read_lines(self, kind: str, part: int) -> Iterator[dict[str, Any]]:
        path = self._done(kind, part, ".jsonl")
        try:
            with path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)
        except ValueError as error:
            raise _other_shape(path, error) from None

    def write_arrays(self, kind: str, part: int, arrays: Arrays) -> None:
        with whole(self.file(kind, part, ".npz")) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def read_arrays(self, kind: str, part: int, *names: str) -> dict[str, NDArray[Any]]:
        """The arrays of those names."""
        path = self._done(kind, part, ".npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in names}
        except (ValueError, KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile) as error:
            raise _other_shape(path, error) from None

    def write_places(self, kind: str, part: int, places: Places) -> None:
        names = {"known": places.verified.known, "codes": places.verified.codes}
        own: dict[str, NDArray[Any]] = {"position": places.position, "offset": places.offset, "strict": places.strict}
        self.write_arrays(kind, part, own | names)

    def read_places(self, kind: str, part: int) -> Places:
        found = self.read_arrays(kind, part, "position", "offset", "strict", "known", "codes")
        verified = Names(found["known"], found["codes"])
        return Places(found["position"], found["offset"], found["strict"], verified)

    def write_counted(self, part: int, counted: Counted) -> None:
        self.write_lines("counted", part, [asdict(counted)])

    def read_counted(self, part: int) -> Counted:
        line = next(self.read_lines("counted", part))
        return Counted(**{each.name: line[each.name] for each in fields(Counted)})

    def write_features(self, part: int, features: Features) -> None:
        """Write what is measured of a part's rows, but for what prompts share."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(features, name) for name in Features.ARRAYS}
        for kind in ("reasons", "trace_reasons"):
            names = Names.of(getattr(features, kind))
            arrays |= {f"{kind}_known": names.known, f"{kind}_codes": names.codes}
        self.write_arrays("features", part, arrays)
        self.write_arrays("grams", part, {"hashes": features.grams.hashes, "sizes": np.diff(features.grams.offsets)})

    def read_features(self, part: int) -> Features:
        """Return what was measured, without grams."""
        kinds = ("reasons", "trace_reasons")
        coded = [f"{kind}_{half}" for kind in kinds for half in ("known", "codes")]
        found = self.read_arrays("features", part, *Features.ARRAYS, *coded)
        reasons = [list(Names(found[f"{kind}_known"], found[f"{kind}_codes"])) for kind in kinds]
        arrays: dict[str, Any] = {name: found[name] for name in Features.ARRAYS}
        if arrays["bands"].shape != (len(arrays["text"]), BANDS):
            raise _other_shape(self.file("features", part, ".npz"), "the bands are of another version")
        return Features(**arrays, reasons=reasons[0], trace_reasons=reasons[1], grams=NO_GRAMS)

    def read_arrays_of_features(self, part: int) -> dict[str, NDArray[Any]]:
        """Return what was measured without the reasons of the text rules and without grams, by names."""
        return self.read_arrays("features", part, *Features.ARRAYS)

    def _done(self, kind: str, part: int, suffix: str) -> Path:
        path = self.file(kind, part, suffix)
        if not path.is_file():
            raise UserError(f"the pass that writes {kind} has not run", where=str(path), hint="run the passes in order")
        return path


def _other_shape(path: Path, error: object) -> UserError:
    return UserError(
        f"this file was not written by a pass ({error})", where=str(path), hint="run the pass again, in a fresh folder"
    )
