"""What a local model is known by: its small files in full; of its weights the headers, and bytes of every tensor.

Reading all weights would take minutes before every run. Training moves nearly every weight, so bytes from the middle
of each tensor, and blocks spread over the whole file, tell other weights under the same name. Times of change tell
nothing, for copies and mounts alter them.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ringlite_cli.presence import entries, is_file, is_folder

_SMALL = 32 << 20
"""Bytes up to which a file is read in full."""
_READ = ("*.json", "*.jinja", "*.txt", "*.model", "*.py", "*.safetensors", "*.bin", "*.gguf", "*.pt", "*.pth")
_LEFT_OUT = ("training_args.bin", "optimizer.*", "scheduler.*", "*_state.json", "rng_state*.pth", "ringlite*.json")
"""Files that stand beside a model and are no part of it."""
_SAMPLE, _BLOCK, _BLOCKS = 64, 4096, 64
_LONGEST_HEADER = 256 << 20


def describe_model(path: Path) -> dict[str, Any]:
    """Return `{path, digest, bytes}` of a model: a folder, or one file of weights.

    Raises OSError where it cannot be read.
    """
    files = _files(path)
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        for part in _parts(file):
            total.update(part)
    size = sum(file.stat().st_size for file in files)
    return {"path": str(path), "digest": f"sha256:{total.hexdigest()[:16]}", "bytes": size}


def _files(path: Path) -> list[Path]:
    if not is_folder(path):
        return [path]
    chosen = [file for file in entries(path) if _fits(file, _READ) and not _fits(file, _LEFT_OUT)]
    return [file for file in chosen if is_file(file)]


def _fits(file: Path, patterns: tuple[str, ...]) -> bool:
    return not file.name.startswith(".") and any(file.match(pattern) for pattern in patterns)


def _parts(file: Path) -> Iterator[bytes]:
    """The bytes that a file is told by, each with where it stands."""
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size <= _SMALL:
            yield opened.read()
            return
        header, places = _tensors(opened, size) if file.suffix == ".safetensors" else (b"", [])
        yield header
        for place in places:
            yield os.pread(opened.fileno(), _SAMPLE, place)
        for number in range(_BLOCKS):
            yield os.pread(opened.fileno(), _BLOCK, (size - _BLOCK) * number // (_BLOCKS - 1))


def _tensors(file: IO[bytes], size: int) -> tuple[bytes, list[int]]:
    """The header of a safetensors file, and the middle of each of its tensors; of a damaged one what can be read."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _LONGEST_HEADER):
        return b"", []
    header = file.read(length)
    try:
        tensors = [entry["data_offsets"] for name, entry in json.loads(header).items() if name != "__metadata__"]
        return header, sorted(8 + length + (begin + end) // 2 for begin, end in tensors)
    except (ValueError, TypeError, KeyError, AttributeError):
        return header, []
