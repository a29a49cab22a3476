"""What can be said of a local model folder from its files alone, before torch is loaded or any stage runs."""

import json
from pathlib import Path

BUILT_IN = "bailing_moe"
ARCHITECTURES = ("BailingMoeForCausalLM", "BailingMoeModel")
SUPPORTED = "supported are Ling-lite, Ling-lite-1.5, Ling-plus, Ring-lite and Ring-lite-2507 (BailingMoeForCausalLM)"
RELATIVES = {
    "bailing_moe_v2": "Ling 2.0 and Ring 2.0: sigmoid routing in expert groups",
    "bailing_moe_linear": "Ring-linear 2.0: linear attention",
    "bailing_moe_linear_v2": "Ring-linear 2.0: linear attention",
    "bailing_hybrid": "Ling 2.5 and Ring 2.5: linear attention",
}
"""Later Bailing architectures by their model_type, known only to be refused by name."""


def model_faults(path: str | None, *, trust_remote_code: bool) -> list[str]:
    """What is wrong with the model section of a recipe whose path is a local folder, each fault with its key.

    A hub id, and a folder without a readable config.json, are left to the stage that loads them.
    """
    file = Path(path or "") / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8")) if path and file.is_file() else None
    except (OSError, ValueError):
        return []
    if not isinstance(config, dict):
        return []
    kind = config.get("model_type")
    if kind in RELATIVES:
        return [f"path: {file}: {kind} ({RELATIVES[kind]}) is not supported; {SUPPORTED}"]
    if kind != BUILT_IN:
        return []
    faults = [
        f"path: {file}: {name} is another architecture; {SUPPORTED}"
        for name in config.get("architectures") or ()
        if name not in ARCHITECTURES
    ]
    if trust_remote_code:
        faults.append(f"trust_remote_code: {BUILT_IN} is built in and its own code is never read; leave the key out")
    return faults
