"""Where a key belongs that stands in the wrong section of a recipe, or that other tools call by another name."""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.errors import near
from ringlite_cli.recipe.other_names import SAID
from ringlite_cli.recipe.schema import STAGE_SECTIONS, RecipeHead
from ringlite_cli.recipe.trl_fields import trl_fields
from ringlite_cli.recipe.trl_rules import TRL_RULES, rule_fault

TRL_CONFIG = {"sft": "SFTConfig", "reward-model": "RewardConfig", "rl": "GRPOConfig"}
"""Kind of stage -> TRL's config class whose fields stand under its `trl:`."""


_OF_A_MODEL = ("name", "id", "model", "model_id", "repo", "repo_id")
"""What the model's own section may be thought to call its path."""


def key_elsewhere(name: str, here: list[str], kind: str, stages: Mapping[str, Any]) -> str:
    """Return where a key belongs that is unknown where it stands, in words; "" where nothing is known of it.

    here: the keys that may stand there. kind: of the stage; "" at the head. stages: of the recipe, as it was read.
    """
    config = TRL_CONFIG.get(kind) if "trl" in here else None
    if config and (why := rule_fault(config, name, None)):
        return why
    if config and name in trl_fields(config):
        return f"it is a field of TRL's {config}; write it under `trl:`"
    if meant := SAID.get(name):
        if meant in here:
            return f"it is called {meant} here"
        if config and (why := rule_fault(config, meant, None)):
            return why
        if config and meant in trl_fields(config):
            return f"it is called {meant}; write it under `trl:`"
    if name in _OF_A_MODEL and {"path", "gguf_file"} <= set(here):
        return "it is called path here: a folder, or an id of the hub"
    if close := near(name, here):
        return close
    if not kind and (stages_with := _stages_with(name, stages) or _stages_with(SAID.get(name, ""), stages)):
        return f"it is a key of a stage: {stages_with}"
    if kind and name in RecipeHead.model_fields:
        return f"it is a key of the recipe's head; write `{name}:` at the left edge of the file"
    if kind and (stages_with := _stages_with(name, stages)):
        return f"it is a key of {stages_with}"
    if config:
        return near(name, trl_fields(config), prefix="trl.")
    return ""


def _stages_with(name: str, stages: Mapping[str, Any]) -> str:
    """The keys of this name that stages of the recipe may have; else the kinds of stages that have it."""
    found = []
    for stage, section in stages.items():
        kind = section.get("kind") if isinstance(section, Mapping) else None
        if not isinstance(kind, str) or kind not in STAGE_SECTIONS:
            continue
        config = TRL_CONFIG.get(kind)
        if name in STAGE_SECTIONS[kind].model_fields:
            found.append(f"stages.{stage}.{name}")
        elif config and name in trl_fields(config) and not TRL_RULES[config].get(name):
            found.append(f"stages.{stage}.trl.{name}")
    return " or ".join(found)
