"""Every key of a recipe as a page of tables: `python -m ringlite_cli.recipe.reference > docs/recipe_reference.md`."""

import json
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ringlite_cli.recipe.experiment import Experiment
from ringlite_cli.recipe.key_classes import TRL_OPERATIONAL, TRL_TUNABLE, is_tunable, key_class
from ringlite_cli.recipe.schema import STAGE_SECTIONS, RecipeHead
from ringlite_cli.recipe.trl_batching import ACCELERATOR_RULES, REBALANCE
from ringlite_cli.recipe.trl_rules import TRL_RULES

_HEAD = """# Reference of recipe keys

Written by `python -m ringlite_cli.recipe.reference` from the schema; a test holds that it is current. A key without a
default is needed. `null` as a default means that there is none, and the text says what happens then.

`class` says what a key decides. *objective*: what is computed; another value makes another result, and the stage runs
again. *tunable*: the same, but a training stage that was interrupted can go on with the new value (`--go-on`).
*operational*: only how the work is done; another value reruns nothing. A section has the classes of its keys.
"""


def page() -> str:
    """Return the page, as Markdown."""
    parts = [_HEAD, "## The head of a recipe\n", *_tables("", RecipeHead)]
    for kind, section in STAGE_SECTIONS.items():
        parts += [f"## Stages of kind `{kind}`\n", *_tables("", section)]
    parts += ["## An experiment's file\n", *_tables("", Experiment), "## TRL fields that are not yours to choose\n"]
    for config, rules in TRL_RULES.items():
        rows = ((f"`{name}`", "no" if rule.refused else _json(rule.value), rule.reason) for name, rule in rules.items())
        parts.append(_table(f"Under `trl:` ({config}).", ("field", "may stand", "why"), rows))
    dealing = ((f"`{name}`", _json(value), why) for name, (value, why) in ACCELERATOR_RULES.items())
    title = f"Under `trl.accelerator_config`, of all three. `trl.train_sampling_strategy` can't be `{REBALANCE}`."
    parts.append(_table(title, ("field", "may stand", "why"), dealing))
    return "\n".join([*parts, *_trl_classes()])


def _trl_classes() -> Iterator[str]:
    yield "## Classes of TRL's fields\n"
    for title, names in (("Operational", TRL_OPERATIONAL), ("Tunable", TRL_TUNABLE)):
        yield f"{title}: {', '.join(f'`{name}`' for name in sorted(names))}.\n"
    yield "All others are objective. An interrupted SFT stage can also go on (`--go-on`) with a step's samples in other"
    yield "parts: `per_device_train_batch_size` and `gradient_accumulation_steps` whose product stays.\n"


def sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (dotted key, section) of every section below a section, in order."""
    for name, key in model.model_fields.items():
        for inner in _sections_in(key.annotation):
            many = (
                "[]" if get_origin(key.annotation) is list else ".<name>" if get_origin(key.annotation) is dict else ""
            )
            yield f"{name}{many}", inner
            yield from ((f"{name}{many}.{below}", deeper) for below, deeper in sections(inner))


def _tables(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    columns = ("key", "type", "default", "class", "meaning")
    yield _table(_summary(model), columns, _rows(model))
    for name, inner in sections(model):
        yield _table(f"`{prefix}{name}`: {_summary(inner)}", columns, _rows(inner))


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    keys = model.model_fields.items()
    for name, key in sorted(keys, key=lambda item: not item[1].is_required()):  # needed keys first
        yield f"`{name}`", _type(key.annotation) + _range(key), _default(key), _class(key), str(key.description)


def _class(key: FieldInfo) -> str:
    return "tunable" if is_tunable(key) else str(key_class(key))


def _table(title: str, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [title, "", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines += [f"| {' | '.join(row)} |" for row in escaped]
    return "\n".join(lines) + "\n"


def _summary(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").strip().split("\n\n")[0]
    return re.sub(r"\s+", " ", text) or "Keys:"


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from _sections_in(inner)


def _type(annotation: Any) -> str:
    """An annotation in a recipe's words: `list of text`, `number or null`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in inner))
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"mapping to {_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null", Any: "any"}
    return names.get(annotation, "any")


def _range(key: FieldInfo) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = [f"{signs[n]} {getattr(rule, n):,}" for rule in key.metadata for n in signs if hasattr(rule, n)]
    return f", {' and '.join(found)}" if found else ""


def _default(key: FieldInfo) -> str:
    if key.is_required():
        return ""
    value = key.get_default(call_default_factory=True)
    return "see below" if isinstance(value, BaseModel) else _json(value)


def _json(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


if __name__ == "__main__":
    print(page(), end="")
