"""Where a recipe names objects of the user's own code: every `module:object`, with its key and what it must be."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ringlite_cli import domains, own_code
from ringlite_cli.recipe.composition import COMPOSING
from ringlite_cli.recipe.schema import Recipe


def own_names(section: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key, `module:object`) of a section and of the sections below it."""
    if isinstance(section, BaseModel):
        for key, field in type(section).model_fields.items():
            value, path = getattr(section, key, None), f"{where}.{key}" if where else key
            yield from _named(value, path) if _takes_own_code(field) else own_names(value, path)
    elif isinstance(section, dict):
        for key, value in section.items():
            yield from own_names(value, f"{where}.{key}")
    elif isinstance(section, list | tuple):
        for number, value in enumerate(section):
            yield from own_names(value, f"{where}.{number}")


def _named(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if own_code.is_own(value):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            if own_code.is_own(key):
                yield path, key
            yield from _named(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        yield from ((f"{path}.{number}", each) for number, each in enumerate(value) if own_code.is_own(each))


def _takes_own_code(field: FieldInfo) -> bool:
    return any(isinstance(each, own_code.OwnCode) for each in field.metadata) or _is_marked(field.annotation)


def _is_marked(annotation: Any) -> bool:
    marks = getattr(annotation, "__metadata__", ())
    return any(isinstance(each, own_code.OwnCode) for each in marks) or any(map(_is_marked, get_args(annotation)))


def use_own_code(recipe: Recipe) -> list[str]:
    """Make the recipe's own objects known; return what is wrong with their names, `key: what; what next`.

    Modules are looked for last in the recipe's folder. Nothing is imported.
    """
    found = list(own_names(recipe))
    own_code.declare([name for _, name in found], (recipe.folder or Path.cwd()) if found else None)
    domains.declare({k: v for k, v in (getattr(recipe, "domains", None) or {}).items() if own_code.is_own(v)})
    return [f"{key}: {why}" for key, name in found if (why := own_code.fault(name))]


def take_up_own_code(written: Mapping[str, Any]) -> None:
    """Make known what a finished run's recipe.json names; its modules are looked for last in the working folder."""
    waiting, names = [written], set()
    while waiting:
        value: Any = waiting.pop()
        if own_code.is_own(value):
            names.add(value)
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    own_code.declare(names, Path.cwd() if names else None)
    domains.declare({k: v for k, v in (written.get("domains") or {}).items() if own_code.is_own(v)})


def own_files(recipe: Recipe, stage: str, *, rewards: bool) -> dict[str, Path]:
    """Return the source files of a stage's own objects, as inputs: `own/module:object` -> file.

    rewards: whether the stage asks verifiers; then it depends on the own domains and verifiers of the whole recipe.
    """
    names = {name for _, name in own_names(recipe.stages[stage])}
    if rewards:
        names |= {name for key, name in own_names(recipe) if key.split(".")[-1] == "verifier"}
        if recipe.stages[stage].kind in COMPOSING:
            names |= {name for _, name in own_names(recipe.rewards)}
        names |= set(recipe.domains.values())
        named = [domains.domain_of(name) for name in recipe.domains]
        names |= {domain.route for domain in named if domain is not None and own_code.is_own(domain.route)}
    files = {name: own_code.file_of(name) for name in sorted(names)}
    return {f"own/{name}": file for name, file in files.items() if file is not None}
