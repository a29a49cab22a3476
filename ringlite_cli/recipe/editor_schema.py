"""The JSON Schema of a recipe, for editors: `ringlite schema`, and the line in recipes that names its file.

Keys, types, ranges and descriptions are the settings'; what one key says of another is left to `ringlite check`.
"""

from typing import Any

from pydantic import TypeAdapter

from ringlite_cli.recipe.schema import STAGE_SECTIONS, RecipeHead
from ringlite_cli.recipe.trl_fields import trl_fields
from ringlite_cli.recipe.trl_rules import TRL_RULES
from ringlite_cli.recipe.whereabouts import TRL_CONFIG

FILE = "recipe.schema.json"
MODELINE = f"# yaml-language-server: $schema={FILE}"
"""The line by which an editor finds the schema beside a recipe."""
_OF_PYDANTIC = ("title", "key_class", "tunable", "was")


def recipe_schema() -> dict[str, Any]:
    """Return the schema, as JSON Schema 2020-12."""
    head = RecipeHead.model_json_schema()
    definitions = head.pop("$defs", {})
    for kind, section in STAGE_SECTIONS.items():
        stage = section.model_json_schema()
        definitions |= stage.pop("$defs", {})
        if kind in TRL_CONFIG:
            stage["properties"]["trl"] |= {"$ref": f"#/$defs/{TRL_CONFIG[kind]}"}
        stage["required"] = sorted({*stage.get("required", ()), "kind"})
        definitions[f"{kind}-stage"] = stage
    definitions["RlProbe"]["properties"]["trl"] |= {"$ref": f"#/$defs/{TRL_CONFIG['rl']}"}
    definitions |= {config: _trl_schema(config) for config in TRL_RULES}
    head["properties"]["stages"] = {
        "type": "object",
        "description": "name -> stage, in the order of the run",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$"},
        "additionalProperties": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"enum": list(STAGE_SECTIONS), "description": "what the stage does"}},
            "allOf": [_where_kind_is(kind) for kind in STAGE_SECTIONS],
        },
    }
    head["required"] = [*head.get("required", ()), "stages"]
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A recipe of ringlite", **head}
    return found | {
        "properties": _plain(head["properties"], of_names=True),
        "$defs": _plain(definitions, of_names=True),
    }


def _where_kind_is(kind: str) -> dict[str, Any]:
    """A stage's keys by its kind, so that an editor names the wrong key and not the wrong kind."""
    return {
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": {"$ref": f"#/$defs/{kind}-stage"},
    }


def _trl_schema(config: str) -> dict[str, Any]:
    """The fields of a TRL config class that may stand under `trl`."""
    refused = {name for name, rule in TRL_RULES[config].items() if rule.refused}
    fields = {name: _of_type(kind) for name, kind in trl_fields(config).items() if name not in refused}
    what = f"fields of TRL's {config}, whose documentation explains them"
    return {"type": "object", "description": what, "properties": fields, "additionalProperties": False}


def _of_type(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema()


def _plain(schema: Any, *, of_names: bool = False) -> Any:
    """The schema without pydantic's own keywords. of_names: its keys are names of recipe keys, not keywords."""
    if isinstance(schema, dict):
        return {
            key: _plain(value, of_names=key in ("properties", "$defs") and not of_names)
            for key, value in schema.items()
            if of_names or key not in _OF_PYDANTIC
        }
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema
