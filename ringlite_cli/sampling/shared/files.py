"""What a policy's files are, as one process sees them, without reading all of their weights."""

import hashlib
import json
from pathlib import Path

_ENDS = 1 << 16
"""Bytes that are read at a file's start and at its end; a safetensors file's names and shapes stand at its start."""


def files_digest(policy: Path | str) -> str:
    """Return a digest of a model folder's files: names, sizes, and how each begins and ends. A hub id is its name."""
    folder = Path(policy)
    total = hashlib.sha256()
    if not folder.is_dir():
        return str(policy)
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        size = file.stat().st_size
        total.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as handle:
            total.update(handle.read(_ENDS))
            if size > _ENDS:
                handle.seek(max(_ENDS, size - _ENDS))
                total.update(handle.read())
    return f"sha256:{total.hexdigest()[:16]}"


def policy_key(policy: Path | str) -> str:
    """Return what tells a policy from another or from an earlier state of it: names, sizes and times of its files."""
    folder = Path(policy)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    known: list[object] = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return hashlib.sha256(json.dumps(known or str(policy)).encode()).hexdigest()[:16]
