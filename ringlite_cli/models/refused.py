"""What can be said of a local model folder from its files alone, before torch is loaded or any stage runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.errors import one_line
from ringlite_cli.models.kinds import kind_fault

BUILT_IN = ("bailing_moe", "bailing_moe_v2")
ARCHITECTURES = ("BailingMoeForCausalLM", "BailingMoeModel")
ARCHITECTURES_V2 = ("BailingMoeV2ForCausalLM", "BailingMoeV2Model")
"""Of Ling 2.0 and Ring 2.0, which are published under both model_types."""
SUPPORTED = (
    "supported are Ling-lite, Ling-lite-1.5, Ling-plus, Ring-lite and Ring-lite-2507 (BailingMoeForCausalLM), and the "
    "mini, flash and 1T models of Ling 2.0 and Ring 2.0 (BailingMoeV2ForCausalLM)"
)
RELATIVES = {
    "bailing_moe_linear": "Ring-linear 2.0: linear attention",
    "bailing_moe_linear_v2": "Ring-linear 2.0: linear attention",
    "bailing_hybrid": "Ling 2.5 and Ring 2.5: linear attention",
}
"""Later Bailing architectures by their model_type, known only to be refused by name."""
ADAPTER = "adapter_config.json"
MERGED = "merge it into its model first (peft's merge_and_unload, save_pretrained), or give a finished run's policy"


def adapter_base(folder: Path) -> str:
    """Return the model that an adapter's folder names; "" where the folder holds a model, or no adapter."""
    if (folder / "config.json").is_file() or not (folder / ADAPTER).is_file():
        return ""
    try:
        found = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return str((isinstance(found, dict) and found.get("base_model_name_or_path")) or "its model")


def adapter_fault(folder: Path) -> str:
    """Return what is wrong with an adapter's folder where a model's is wanted."""
    return f"this folder holds an adapter of {adapter_base(folder)}, not a model"


def model_faults(
    path: str | None, *, trust_remote_code: bool, new_config: Mapping[str, Any] | None = None
) -> list[str]:
    """Return what is wrong with the model section of a recipe whose path is a local folder, each fault with its key.

    new_config: that of a model which is made anew. A hub id, and a folder without a config.json that may be read, are
    left to the stage that loads them.
    """
    if new_config is not None:
        fault = "" if new_config.get("model_type") in BUILT_IN else kind_fault(new_config)
        return [f"new.config.model_type: {fault}"] if fault else []
    folder = Path(path or "").expanduser()
    if path and (base := adapter_base(folder)):
        return [f"path: {adapter_fault(folder)}; write `path: {base}` and `adapter: {path}`"]
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8")) if path and file.is_file() else None
    except OSError:
        return []
    except ValueError as error:
        return [f"path: {file} is not JSON ({one_line(error)}); it may be half written: save or fetch it again"]
    if not isinstance(config, dict):
        return [] if config is None else [f"path: {file} holds a {type(config).__name__}, and a config is a mapping"]
    kind = config.get("model_type")
    if kind in RELATIVES:
        return [f"path: {file}: {kind} ({RELATIVES[kind]}) is not supported; {SUPPORTED}"]
    if kind not in BUILT_IN:
        fault = kind_fault(config, trust_remote_code=trust_remote_code)
        return [f"path: {file}: {fault}"] if fault else []
    faults = [
        f"path: {file}: {name} is another architecture; {SUPPORTED}"
        for name in config.get("architectures") or ()
        if name not in ARCHITECTURES + ARCHITECTURES_V2
    ]
    if trust_remote_code:
        faults.append(f"trust_remote_code: {kind} is built in and its own code is never read; leave the key out")
    return faults
