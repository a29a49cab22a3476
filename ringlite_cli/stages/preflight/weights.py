"""Whether the weight files of a model folder are whole, by their headers alone."""

import json
from pathlib import Path

_INDEX = "model.safetensors.index.json"
_LONGEST_HEADER = 100_000_000
"""Bytes, above which safetensors itself refuses a header."""


def weight_faults(folder: Path, *, allow_pickle: bool) -> list[str]:
    """Return what is wrong with a folder's weight files: missing, cut short, or of a kind that is not loaded."""
    files, missing = _files(folder)
    if missing:
        return [f"the weight file {missing[0]} is missing in {folder}"]
    if not files:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        if pickled and allow_pickle:
            return []
        kind = "; safetensors are loaded, other weights where model.allow_pickle is true" if pickled else ""
        return [f"no weights in {folder}: model.safetensors is missing{kind}"]
    return [f"{file} {fault}" for file in files if (fault := _fault(file))]


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    if (folder / _INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError):
            return [], [f"that {_INDEX} names"]
        return [folder / name for name in names], [name for name in names if not (folder / name).is_file()]
    return sorted(folder.glob("*.safetensors")), []


def _fault(file: Path) -> str:
    """Why a safetensors file can't be whole; '' where its length is what its header says."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or not 0 < length <= min(_LONGEST_HEADER, size - 8):
            return "is cut short or no safetensors file; fetch it again"
        try:
            header = json.loads(handle.read(length))
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "has no readable header; fetch it again"
    if size != 8 + length + end:
        return f"has {size:,} bytes where its header says {8 + length + end:,}; fetch it again"
    return ""
