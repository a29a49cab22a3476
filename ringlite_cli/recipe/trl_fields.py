"""Checks a `trl:` mapping against TRL's own dataclass without importing TRL (which takes about 7 s).

The field names and types are read from the installed sources with `ast`, base classes first, so TRL's documentation
stays the reference for what may stand there.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional, Union

from pydantic import TypeAdapter, ValidationError

from ringlite_cli.errors import near
from ringlite_cli.recipe.fault_messages import number_hint
from ringlite_cli.recipe.other_names import SAID
from ringlite_cli.recipe.trl_batching import batching_fault
from ringlite_cli.recipe.trl_ranges import range_fault
from ringlite_cli.recipe.trl_rules import TRL_RULES, rule_fault

_SOURCES = {
    "SFTConfig": (
        ("transformers", "training_args.py", "TrainingArguments"),
        ("trl", "trainer/base_config.py", "_BaseConfig"),
        ("trl", "trainer/sft_config.py", "SFTConfig"),
    ),
    "RewardConfig": (
        ("transformers", "training_args.py", "TrainingArguments"),
        ("trl", "trainer/base_config.py", "_BaseConfig"),
        ("trl", "trainer/reward_config.py", "RewardConfig"),
    ),
    "GRPOConfig": (
        ("transformers", "training_args.py", "TrainingArguments"),
        ("trl", "trainer/base_config.py", "_BaseConfig"),
        ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ),
}

_NAMES = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "list": list,
    "dict": dict,
    "Any": Any,
    "None": None,
    "Optional": Optional,
    "Union": Union,
    "Literal": Literal,
}


def check_trl(values: dict[str, Any], config: str) -> tuple[dict[str, Any], list[str]]:
    """Return the values coerced to their fields' types, and a message for each that can't stand there."""
    fields, rules = trl_fields(config), TRL_RULES[config]
    checked: dict[str, Any] = {}
    faults = []
    for key, value in values.items():
        if key in rules and rules[key].refused:
            faults.append(rule_fault(config, key, value))
        elif key not in fields:
            hint = _hint(key, config)
            faults.append(f"{key!r} is not a {config} field" + (f"; {hint}" if hint else ""))
        else:
            try:
                typed = TypeAdapter(fields[key]).validate_python(value)
            except ValidationError as error:
                faults.append(f"{key} = {value!r}: {error.errors()[0]['msg'].lower()}{number_hint(value)}")
                continue
            if isinstance(value, bool) and isinstance(typed, int | float) and not isinstance(typed, bool):
                faults.append(f"{key}: a number is needed, not {str(value).lower()}")
            elif fault := _value_fault(config, key, typed):
                faults.append(fault)
            else:
                checked[key] = typed
    return checked, faults


def _value_fault(config: str, key: str, value: Any) -> str:
    return rule_fault(config, key, value) or range_fault(config, key, value) or batching_fault(key, value)


def _hint(key: str, config: str) -> str:
    """What an unknown key under `trl` may be meant for, in words; "" where nothing is like it."""
    from ringlite_cli.recipe.rl_settings import RlSettings  # which checks its own `trl` here
    from ringlite_cli.recipe.schema import RewardModelStage, SftStage

    sections: dict[str, Any] = {"SFTConfig": SftStage, "RewardConfig": RewardModelStage, "GRPOConfig": RlSettings}
    fields, beside = trl_fields(config), sections[config].model_fields
    meant = SAID.get(key, "")
    if key in beside or meant in beside:
        return f"it is ringlite's own; write `{meant if meant in beside else key}` beside `trl:`, not under it"
    if meant in TRL_RULES[config] and TRL_RULES[config][meant].refused:
        return f"{meant} is ringlite's to set: {TRL_RULES[config][meant].reason}"
    return f"it is called {meant}" if meant in fields else near(key, fields)


@cache
def trl_fields(config: str) -> dict[str, Any]:
    """Return field name -> type of a TRL config class, its bases included."""
    return {name: _type_of(node.annotation) for name, node in _field_nodes(config).items()}


def trl_default(config: str, name: str) -> Any:
    """Return the default of a TRL config field, as TRL's source has it. Raises KeyError for one that is no literal."""
    value = _field_nodes(config)[name].value
    if isinstance(value, ast.Call):
        value = next((keyword.value for keyword in value.keywords if keyword.arg == "default"), None)
    try:
        return ast.literal_eval(value) if value is not None else None
    except ValueError:
        raise KeyError(f"the default of {config}.{name} is no literal") from None


@cache
def _field_nodes(config: str) -> dict[str, ast.AnnAssign]:
    """Field name -> its definition in the sources, that of the most derived class."""
    found: dict[str, ast.AnnAssign] = {}
    for package, file, name in _SOURCES[config]:
        tree = _parse(package, file)
        body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name).body
        for node in body:
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and _is_field(node.target.id, node)
            ):
                found[node.target.id] = node
    return found


def _is_field(name: str, node: ast.AnnAssign) -> bool:
    """Class variables and private names such as `_VALID_DICT_FIELDS` are no fields of the dataclass."""
    return not name.startswith("_") and "ClassVar" not in ast.unparse(node.annotation)


@cache
def _parse(package: str, file: str) -> ast.Module:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8"))


def _type_of(node: ast.expr) -> Any:
    """The annotation as a type; a name that is not a builtin's admits anything."""
    if isinstance(node, ast.Constant):
        return _type_of(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else node.value
    if isinstance(node, ast.Name):
        return _NAMES.get(node.id, Any)
    if isinstance(node, ast.BinOp):
        return _union(_type_of(node.left), _type_of(node.right))
    if isinstance(node, ast.Subscript):
        return _subscript(node)
    return Any


def _subscript(node: ast.Subscript) -> Any:
    name = node.value.id if isinstance(node.value, ast.Name) else ""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return Literal[tuple(ast.literal_eval(part) for part in parts)]
    types = [_type_of(part) for part in parts]
    if name == "Optional":
        return _union(types[0], None)
    if name == "Union":
        return Union[tuple(types)]  # noqa: UP007
    if name == "list":
        return list[types[0]]  # type: ignore[valid-type]
    if name == "dict":
        return dict[types[0], types[1]]  # type: ignore[valid-type]
    return Any


def _union(left: Any, right: Any) -> Any:
    return Any if Any in (left, right) else Union[left, right]  # noqa: UP007
