"""What the weight files of a model folder hold, read from their headers alone: names, shapes and number formats."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, not_done

ONE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
AGAIN = "copy or download the folder again; an interrupted copy leaves such files"
_FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of a checkpoint. dtype: as safetensors spells it, for example BF16."""

    file: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """The tensor's size in its file."""
        return math.prod(self.shape) * int("".join(filter(str.isdigit, self.dtype.split("_")[0])) or 8) // 8


Headers = dict[str, Stored]


def read_headers(folder: Path) -> Headers:
    """Return every tensor of the folder's safetensors by its name; {} for a folder without any.

    Raises UserError for a file that is cut short or damaged, and for an index that does not fit its files.
    """
    files = weight_files(folder)
    found: Headers = {}
    for file in files:
        found |= read_tensors(file)
    if (folder / INDEX).is_file() and files != [folder / ONE_FILE]:
        _check_index(_weight_map(folder / INDEX), found, folder)
    return found


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors that make up the model: one file, or the shards that the index names.

    Raises UserError where the index names files that are not there, or shards have no index.
    """
    if (folder / ONE_FILE).is_file():
        return [folder / ONE_FILE]
    if (folder / INDEX).is_file():
        names = sorted(set(_weight_map(folder / INDEX).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(names)} weight files are missing, as {missing[0]}",
                where=str(folder / INDEX),
                hint=AGAIN,
            )
        return [folder / name for name in names]
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    if shards:
        raise UserError(f"there are {len(shards)} shards, but no {INDEX}", where=str(folder), hint=AGAIN)
    return []


def float_format(headers: Headers) -> str | None:
    """Return the number format that most of the weights are stored in, as torch spells it; None without floats."""
    sizes: dict[str, int] = {}
    for tensor in headers.values():
        if tensor.dtype in _FLOATS:
            sizes[_FLOATS[tensor.dtype]] = sizes.get(_FLOATS[tensor.dtype], 0) + math.prod(tensor.shape)
    return max(sizes, key=lambda name: sizes[name]) if sizes else None


def open_tensors(headers: Headers, *, rows: int | None = None) -> Iterator[tuple[str, Any]]:
    """Yield (name, tensor) of everything in the headers' files, one tensor at a time.

    rows: read no more than these first rows of each tensor; default: all.
    """
    from safetensors import safe_open

    for file in sorted({stored.file for stored in headers.values()}):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (a safe_open has keys and is no mapping)
                if name in headers and headers[name].file == file:
                    part = rows is not None and len(headers[name].shape) > 0
                    yield name, tensors.get_slice(name)[:rows] if part else tensors.get_tensor(name)


def read_tensors(file: Path) -> Headers:
    """Return every tensor of one file of safetensors by its name. Raises UserError for one that is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        file.open("rb").close()  # safetensors says of a file without permission that it is not there
        with safe_open(file, "pt") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            return {name: Stored(file, tuple(x.get_shape()), str(x.get_dtype())) for name, x in slices.items()}
    except PermissionError as error:
        raise not_done("the weight file can't be read", error, where=str(file)) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"the weight file is cut short or damaged ({error})", where=str(file), hint=AGAIN) from None


def _weight_map(index: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(file) for name, file in found.items()}
    raise UserError("the index of the weights cannot be read", where=str(index), hint=AGAIN)


def _check_index(weight_map: dict[str, str], found: Headers, folder: Path) -> None:
    lost = sorted(name for name, file in weight_map.items() if name not in found or found[name].file.name != file)
    if lost:
        raise UserError(
            f"{len(lost)} tensors are not in the files that the index names, as {lost[0]} in {weight_map[lost[0]]}",
            where=str(folder / INDEX),
            hint=AGAIN,
        )
