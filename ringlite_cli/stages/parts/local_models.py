"""The models of a recipe that lie on this machine: what they hold counts, and not how their folder is called."""

from importlib.util import find_spec
from pathlib import Path

from ringlite_cli.recipe.schema import CurateStage, Model

MODEL_FILES, ADAPTER_FILES = "model files", "adapter files"
"""The inputs that the model before SFT is known by, where it lies here; its path then counts for nothing."""


def model_files(model: Model) -> dict[str, Path]:
    """Return input -> folder or file of the model that a recipe starts from, and of an adapter that is merged into it.

    A hub id is among them as a path that is not there.
    """
    found: dict[str, Path] = {}
    if folder := _package_folder(model.package) if model.package else model.path and Path(model.path).expanduser():
        found[MODEL_FILES] = folder / model.gguf_file if model.gguf_file else folder
    if model.adapter:
        found[ADAPTER_FILES] = Path(model.adapter).expanduser()
    return found


def asked_models(section: CurateStage) -> dict[str, Path]:
    """Return input -> folder of each local model that curation asks."""
    return {f"files of {key}": Path(each.path).expanduser() for key, each in section.asked().items() if each.path}


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None
