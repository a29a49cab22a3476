"""The files that a path names: one file, a folder of shards, a glob, or what `datasets` leaves with save_to_disk."""

import json
import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from ringlite_cli.data.readers import KNOWN, format_of
from ringlite_cli.errors import UserError

_DISK_STATE, _DISK_DICT = "state.json", "dataset_dict.json"
_NOT_ROWS = frozenset({_DISK_STATE, _DISK_DICT, "dataset_info.json", "dataset_infos.json"})
_SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}


def shards(path: Path, split: str = "train") -> list[Path]:
    """The files to read, in order.

    split: of a folder that holds several (train-00000-of-00002.parquet beside test-..., train/ beside test/), the one
    that is read. Raises UserError where nothing is there, or files of several formats.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        return _of_disk(path, split) or _of_folder(path, split)
    if has_magic(str(path)):
        return _of_glob(path)
    raise UserError("no such file", where=str(path), hint=f"name a file of {KNOWN}, a folder or a glob")


def _of_glob(path: Path) -> list[Path]:
    found = [Path(name) for name in sorted(glob(str(path), recursive=True)) if Path(name).is_file()]
    if not found:
        raise UserError(
            "no file matches", where=str(path), hint="check the pattern; ** stands for folders at any depth"
        )
    return _one_format(path, found)


def _of_folder(path: Path, split: str) -> list[Path]:
    found = [f for f in sorted(path.rglob("*")) if f.is_file() and format_of(f) and _is_data(f.relative_to(path))]
    if not found:
        raise UserError("a folder without data files", where=str(path), hint=f"known formats: {KNOWN}")
    return _one_format(path, _of_split(path, found, split))


def _is_data(inside: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in inside.parts)
    return not hidden and inside.name not in _NOT_ROWS


def _of_split(path: Path, found: Sequence[Path], split: str) -> list[Path]:
    """The files of one split, where their names or folders tell several apart."""
    named = {file: _split_of(file.relative_to(path)) for file in found}
    splits = sorted({name for name in named.values() if name})
    if len(splits) < 2:
        return list(found)
    wanted = _SPLITS.get(split.lower(), split)
    if wanted not in splits:
        raise UserError(
            f"no split {split!r}; it holds {', '.join(splits)}", where=str(path), hint="set `hub_split:` to one of them"
        )
    return [file for file, name in named.items() if name == wanted]


def _split_of(inside: Path) -> str | None:
    """The split that a file's own name begins with, or that a folder above it is called."""
    names = [re.split(r"[-_.\d]", inside.name.lower(), maxsplit=1)[0], *(part.lower() for part in inside.parts[:-1])]
    return next((_SPLITS[name] for name in names if name in _SPLITS), None)


def _one_format(path: Path, found: Sequence[Path]) -> list[Path]:
    formats = sorted({format_of(file) or "unknown" for file in found})
    if len(formats) > 1:
        raise UserError(
            f"files of several formats ({', '.join(formats)})",
            where=str(path),
            hint=f"name those of one, as in {path.parent if has_magic(str(path)) else path}/*.{formats[0]}",
        )
    return list(found)


def _of_disk(path: Path, split: str) -> list[Path]:
    """The Arrow files of a folder that save_to_disk wrote, of one split where there are several; [] for others."""
    if (path / _DISK_DICT).is_file():
        splits = _json(path / _DISK_DICT).get("splits") or []
        name = splits[0] if len(splits) == 1 else split
        if name not in splits:
            raise UserError(
                f"no split {split!r}; it holds {', '.join(map(str, splits)) or 'none'}",
                where=str(path),
                hint="set `hub_split:` to one of them",
            )
        path = path / str(name)
    if not (path / _DISK_STATE).is_file():
        return []
    files = [path / str(each["filename"]) for each in _json(path / _DISK_STATE).get("_data_files") or []]
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise UserError(f"{absent[0].name} is missing", where=str(path), hint="copy the whole folder again")
    return files


def _json(path: Path) -> dict[str, list[dict[str, str]]]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"not readable JSON ({error})", where=str(path), hint="save the data set again") from None
    return value if isinstance(value, dict) else {}
