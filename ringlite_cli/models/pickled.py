"""Names and shapes of the weights of a model folder that are pickled (pytorch_model.bin), without their numbers."""

import json
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models.headers import AGAIN, Headers, Stored

ONE_FILE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_FORMATS = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "uint8": "U8", "int32": "I32"}


def read_pickled(folder: Path) -> Headers:
    """Return every tensor of the folder's pickled weights by its name; {} for a folder without any.

    Objects other than tensors are refused by torch, so that no code of the file runs. Raises UserError for a file that
    is missing, cut short or damaged.
    """
    found: Headers = {}
    for file in _files(folder):
        found |= read_pickled_tensors(file)
    return found


def read_pickled_tensors(file: Path) -> Headers:
    """Return every tensor of one pickled file by its name. Raises UserError for one that is damaged."""
    tensors = {str(name): tensor for name, tensor in _load(file).items() if hasattr(tensor, "shape")}
    return {name: Stored(file, tuple(tensor.shape), _format(tensor)) for name, tensor in tensors.items()}


def _files(folder: Path) -> list[Path]:
    if (folder / ONE_FILE).is_file():
        return [folder / ONE_FILE]
    if not (folder / INDEX).is_file():
        return []
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError("the index of the weights cannot be read", where=str(folder / INDEX), hint=AGAIN) from None
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(
            f"{len(missing)} of {len(names)} weight files are missing, as {missing[0]}",
            where=str(folder / INDEX),
            hint=AGAIN,
        )
    return [folder / name for name in names]


def _load(file: Path) -> dict[str, Any]:
    import torch

    try:
        try:
            loaded = torch.load(file, map_location="meta", weights_only=True, mmap=True)
        except RuntimeError:  # torch before 1.6 wrote files that cannot be mapped
            loaded = torch.load(file, map_location="meta", weights_only=True)
    except Exception as error:  # pickles break in many ways
        what = f"the weight file is cut short or damaged ({type(error).__name__}: {first_line(error)})"
        raise UserError(what, where=str(file), hint=AGAIN) from None
    if not isinstance(loaded, dict):
        raise UserError(f"the weight file holds a {type(loaded).__name__}, no weights by name", where=str(file))
    return loaded


def _format(tensor: Any) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    return _FORMATS.get(name, name)
