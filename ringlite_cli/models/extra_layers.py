"""Layers for multi-token prediction: kept in saved policies, not trained, and left out of what an engine is given.

Checkpoints store them behind the last layer, as `model.layers.L` with L = num_hidden_layers (DeepSeek-V3, GLM-4 MoE,
Ling 2.0). transformers' language models leave them out when they load, and so they would be lost when they are saved.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ringlite_cli.models.headers import INDEX, ONE_FILE, Headers, read_headers, weight_files
from ringlite_cli.runs.files import read_json, write_json

EXTRA_FILE = "model-extra-layers.safetensors"
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


@dataclass(frozen=True)
class ExtraLayers:
    """Tensors of a model folder that its language model has no place for. names: as in the folder's files."""

    folder: Path
    names: tuple[str, ...]


def extra_tensors(config: Any, names: Iterable[str]) -> list[str]:
    """Return those of the tensors that belong to layers for multi-token prediction, by the config's count of layers."""
    text = config.get_text_config()
    first = getattr(text, "num_hidden_layers", None)
    count = getattr(text, "num_nextn_predict_layers", None) or 0
    if first is None or not count:
        return []
    return [name for name in names if (x := _LAYER.search(name)) and first <= int(x[1]) < first + count]


def find_extra_layers(config: Any, folder: Path) -> ExtraLayers | None:
    """Return which tensors of a model folder its language model leaves out; None without any."""
    names = extra_tensors(config, read_headers(folder))
    return ExtraLayers(folder.absolute(), tuple(names)) if names else None


def keep_extra_layers(extra: ExtraLayers | None, folder: Path) -> None:
    """Add the tensors that a model left out when it was loaded to the folder that it was saved to.

    They go into a file of their own, which the folder's index names beside the others.
    """
    if extra is None or not weight_files(folder):
        return
    from safetensors.torch import save_file

    tensors = _read(extra)
    index = _index(folder)
    index["weight_map"] |= dict.fromkeys(tensors, EXTRA_FILE)
    index["metadata"]["total_size"] += sum(tensor.nbytes for tensor in tensors.values())
    save_file(tensors, folder / EXTRA_FILE, metadata={"format": "pt"})
    write_json(folder / INDEX, index)


@contextmanager
def engine_folder(folder: Path | str) -> Iterator[str]:
    """Give a folder of the same model that engines can load: without layers that the language model leaves out.

    vLLM refuses such tensors. The folder itself where it has none, or is a hub id; else one of links, gone afterwards.
    """
    config = Path(folder) / "config.json"
    extra = set()
    if config.is_file() and read_json(config).get("num_nextn_predict_layers"):
        headers = read_headers(Path(folder))
        extra = set(extra_tensors(_Counts(read_json(config)), headers))
    if not extra:
        yield str(folder)
        return
    with TemporaryDirectory(prefix="ringlite-engine-") as view:
        _link(Path(folder).absolute(), Path(view), headers, extra)
        yield view


class _Counts:
    """The numbers of layers in a config's fields."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.num_hidden_layers = fields.get("num_hidden_layers")
        self.num_nextn_predict_layers = fields.get("num_nextn_predict_layers")

    def get_text_config(self) -> "_Counts":
        return self


def _link(folder: Path, view: Path, headers: Headers, extra: set[str]) -> None:
    kept = {name: stored for name, stored in headers.items() if name not in extra}
    mixed = {headers[name].file for name in extra} & {stored.file for stored in kept.values()}
    weights = {stored.file for stored in headers.values()}
    for file in folder.iterdir():
        if file.name not in ("config.json", INDEX) and file not in weights:
            (view / file.name).symlink_to(file)
    for file in sorted({stored.file for stored in kept.values()} - mixed):
        (view / file.name).symlink_to(file)
    for file in mixed:
        _copy_without(file, view / file.name, extra)
    fields = read_json(folder / "config.json")
    write_json(view / "config.json", fields | {"num_nextn_predict_layers": 0})
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        write_json(view / INDEX, index | {"weight_map": {name: x.file.name for name, x in kept.items()}})


def _copy_without(file: Path, target: Path, left_out: set[str]) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(str(file), "pt") as tensors:
        names = [name for name in tensors.keys() if name not in left_out]  # noqa: SIM118
        save_file({name: tensors.get_tensor(name) for name in names}, target, metadata={"format": "pt"})


def _read(extra: ExtraLayers) -> dict[str, Any]:
    from safetensors import safe_open

    headers = read_headers(extra.folder)
    with ExitStack() as files:
        opened = {
            file: files.enter_context(safe_open(str(file), "pt")) for file in {headers[x].file for x in extra.names}
        }
        return {name: opened[headers[name].file].get_tensor(name) for name in extra.names}


def _index(folder: Path) -> dict[str, Any]:
    """The folder's index; of one file, which is renamed to a shard, a new one."""
    if (folder / INDEX).is_file():
        found: dict[str, Any] = read_json(folder / INDEX)
        return found
    headers = read_headers(folder)
    size = sum(stored.bytes for stored in headers.values())
    shard = "model-00001-of-00001.safetensors"
    (folder / ONE_FILE).replace(folder / shard)
    return {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(headers, shard)}
