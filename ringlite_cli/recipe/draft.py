"""A recipe on its way from YAML to `Recipe`: every part is validated alone, so that faults of all parts come together.

A section with a fault stays in the draft as far as it is sound. So references to it and from it can be checked too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from ringlite_cli.errors import RecipeErrors, near
from ringlite_cli.recipe.fault_messages import fault_messages
from ringlite_cli.recipe.graph import BASE
from ringlite_cli.recipe.places import Places
from ringlite_cli.recipe.schema import STAGE_SECTIONS, Recipe, RecipeHead
from ringlite_cli.recipe.trl_fields import check_trl
from ringlite_cli.recipe.trl_rules import TRL_RULES
from ringlite_cli.recipe.whereabouts import TRL_CONFIG, key_elsewhere


@dataclass
class Draft:
    """What could be read of a recipe.

    faults: `key: what; what next`, in the order of the file. unsound: stages whose section, or whose TRL fields, have a
    fault that leaves their meaning open. unknown: stages whose kind is not known; they are not among recipe.stages.
    """

    places: Places
    recipe: Recipe
    faults: list[str] = field(default_factory=list)
    unsound: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    head_is_sound: bool = True

    def whole(self) -> Recipe:
        """Return the recipe. Raises RecipeErrors with every fault, each beginning with its place, if there is any."""
        if self.faults:
            raise RecipeErrors([f"{self.places.of(fault)}: {fault}" for fault in dict.fromkeys(self.faults)])
        return self.recipe


def validate(data: dict[str, Any], places: Places) -> Draft:
    """Validate the head and each stage apart."""
    head = {key: value for key, value in data.items() if key != "stages"}
    nothing: dict[str, Any] = {"stages": {}}
    draft = Draft(places, Recipe.model_construct(**nothing))
    raw = data.get("stages")
    stages_given = raw if isinstance(raw, dict) else {}
    found, parts = _sound_part(RecipeHead, head, "", stages_given)
    draft.faults += found
    draft.head_is_sound = not found
    if not isinstance(raw, dict) or not raw:
        listed = (
            "; write each under its name, as in `sft: {kind: sft, ...}`, without a dash"
            if isinstance(raw, list)
            else ""
        )
        draft.faults.append(f"stages: a recipe needs a mapping of at least one stage{listed}")
        raw = {}
    stages: dict[str, Any] = {}
    for name, section in raw.items():
        _validate_stage(draft, stages, str(name), section, stages_given)
    if draft.faults:
        draft.recipe = Recipe.model_construct(**parts, stages=stages)
    else:
        draft.recipe = Recipe.model_validate({**head, "stages": stages})
    return draft


def _validate_stage(draft: Draft, stages: dict[str, Any], name: str, section: Any, given: Mapping[str, Any]) -> None:
    where = f"stages.{name}"
    fault = _kind_fault(name, section)
    if fault:
        draft.faults.append(f"{where}: {fault}")
        draft.unknown.add(name)
        return
    kind = section["kind"]
    section, found, certain = _check_trl_fields(kind, section)
    draft.faults += [f"{where}.{fault}" for fault in found]
    model = STAGE_SECTIONS[kind]
    found, parts = _sound_part(model, section, where, given)
    draft.faults += found
    if found or not certain:
        draft.unsound.add(name)
    stages[name] = model.model_construct(**parts) if found else model.model_validate(section)


def _kind_fault(name: str, section: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        return "a stage's name has letters, digits, '-' and '_' only"
    if name == BASE:
        return f"{BASE!r} is what eval calls the model before SFT; give the stage another name"
    if not isinstance(section, dict):
        return "a stage is a mapping with a kind"
    kind = section.get("kind")
    if isinstance(kind, str) and kind in STAGE_SECTIONS:
        return ""
    hint = near(str(kind).lower(), STAGE_SECTIONS, f"kinds are {', '.join(STAGE_SECTIONS)}")
    return (f"kind {kind!r} is unknown; " if kind else "kind is missing; ") + hint


def _check_trl_fields(kind: str, section: dict[str, Any]) -> tuple[dict[str, Any], list[str], bool]:
    """The section with its `trl` mappings checked, their faults, and whether it is certain what the others mean."""
    found: list[str] = []
    certain = True
    if kind in TRL_CONFIG and isinstance(section.get("trl"), dict):
        values, faults, certain = _checked(section["trl"], TRL_CONFIG[kind])
        found += [f"trl: {fault}" for fault in faults]
        section = {**section, "trl": values}
    probe = section.get("rl_probe")
    if kind == "select" and isinstance(probe, dict) and isinstance(probe.get("trl"), dict):
        values, faults, certain = _checked(probe["trl"], TRL_CONFIG["rl"])
        found += [f"rl_probe.trl: {fault}" for fault in faults]
        if "max_steps" in values:
            found.append("rl_probe.trl: 'max_steps' is rl_probe.steps here; remove it")
        section = {**section, "rl_probe": {**probe, "trl": values}}
    return section, found, certain


def _checked(given: dict[str, Any], config: str) -> tuple[dict[str, Any], list[str], bool]:
    values, faults = check_trl(given, config)
    return values, faults, given.keys() - values.keys() <= TRL_RULES[config].keys()


def _sound_part(
    model: type[BaseModel], given: dict[str, Any], where: str, stages: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Return a section's faults, and its fields as far as they are sound (of a needed one that is not, None).

    stages: all of the recipe, as they were read: a key that is unknown here may belong to one of them.
    """
    elsewhere = partial(key_elsewhere, kind=str(given.get("kind") or "") if where else "", stages=stages)
    try:
        whole = model.model_validate(given)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        fields = model.model_fields.items()
        parts = {name: _value(key, given.get(name, PydanticUndefined), name in wrong) for name, key in fields}
        return fault_messages(error.errors(), model, where, elsewhere), parts
    return [], {name: getattr(whole, name) for name in model.model_fields}


def _value(key: Any, given: Any, wrong: bool) -> Any:
    if given is PydanticUndefined:
        return None if key.is_required() else key.get_default(call_default_factory=True)
    if wrong and isinstance(given, dict):
        return {str(name): None for name in given}  # names that others may refer to
    try:
        return None if wrong else TypeAdapter(key.annotation).validate_python(given)
    except ValidationError:
        return None
