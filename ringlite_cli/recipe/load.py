"""From a recipe's name or path to a checked `Recipe`: every fault of a file in one error, never a traceback."""

import os
import re
from collections.abc import Collection, Sequence
from glob import has_magic, iglob
from pathlib import Path
from typing import Any

import yaml

from ringlite_cli import domains
from ringlite_cli.errors import UserError, near
from ringlite_cli.own_code import is_own
from ringlite_cli.recipe.draft import Draft, validate
from ringlite_cli.recipe.graph import graph_faults
from ringlite_cli.recipe.own_names import use_own_code
from ringlite_cli.recipe.places import Places
from ringlite_cli.recipe.renamed import name_in
from ringlite_cli.recipe.schema import CurateStage, Recipe
from ringlite_cli.shipped import RECIPES, by_name


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of every shipped recipe."""
    return by_name(RECIPES, "*.yaml")


def shipped_experiments() -> dict[str, Path]:
    """Name -> file of every shipped experiment."""
    return by_name(RECIPES / "experiments", "*.yaml")


def find_recipe(name: str) -> Path:
    """The file that a RECIPE argument means: a path if there is one, else a shipped recipe of that name."""
    if not Path(name).exists() and name not in shipped_recipes() and name in shipped_experiments():
        raise UserError("this is an experiment, not a recipe", where=name, hint=f"`ringlite experiment {name}` runs it")
    return find_file(name, shipped_recipes(), "recipe")


def find_file(name: str, shipped: dict[str, Path], what: str) -> Path:
    """A path if there is one, else the shipped file of that name. Raises UserError with a near name."""
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        raise UserError(f"this is a folder, not a {what}", where=name, hint="name the YAML file in it")
    raise UserError(
        f"no such {what} file, and no shipped {what} of this name",
        where=name,
        hint=near(name, shipped, "`ringlite recipes` lists the shipped ones"),
    )


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override (`--set KEY=VALUE`) and check a recipe.

    Raises RecipeErrors with every fault at once; each message starts with the file and the key.
    """
    return read_draft(name, overrides).whole()


def read_draft(name: str, overrides: Sequence[str] = ()) -> Draft:
    """Read a recipe as far as it is sound: what is wrong with its keys, references and files is in `faults`.

    Raises UserError where there is no recipe to read.
    """
    path = find_recipe(name)
    if path.suffix.lower() in (".jsonl", ".json", ".csv", ".parquet", ".arrow", ".gz"):
        hint = f"`ringlite new NAME --data {name}` writes a recipe for it"
        raise UserError("this is a file of data, not a recipe", where=name, hint=hint)
    data = read_yaml(path)
    if isinstance(data.get("arms"), dict) and isinstance(data.get("recipe"), str):
        raise UserError("this is an experiment, not a recipe", where=name, hint=f"`ringlite experiment {name}` runs it")
    changed = dict(_override(data, override) for override in overrides)
    _declare_domains(data)
    draft = validate(data, Places(path, changed))
    draft.recipe, missing = _resolve_files(draft.recipe, path.parent, skip=draft.unsound)
    draft.faults += graph_faults(draft.recipe, unsound=draft.unsound, unknown=draft.unknown) + missing
    draft.faults += use_own_code(draft.recipe.of_folder(path.parent))
    return draft


def _declare_domains(data: dict[str, Any]) -> None:
    """Make the names of the recipe's own domains known before the sections that use them are validated."""
    given = data.get("domains")
    named = given.items() if isinstance(given, dict) else ()
    domains.declare({str(name): own for name, own in named if is_own(own)})


def _resolve_files(recipe: Recipe, folder: Path, skip: Collection[str]) -> tuple[Recipe, list[str]]:
    """Sources with their files found: as given from the working folder, else from the recipe's own folder."""
    faults: list[str] = []
    stages: dict[str, Any] = dict(recipe.stages)
    for name, stage in recipe.stages.items():
        if isinstance(stage, CurateStage) and name not in skip:
            sources = []
            for number, source in enumerate(stage.sources):
                found = _find_file(source.path, folder) if source.path else None
                if source.path and found is None:
                    where = f"stages.{name}.sources.{number}.path"
                    faults.append(f"{where}: no file {source.path!r}, neither here nor in {folder}")
                sources.append(source.model_copy(update={"path": found}) if found else source)
            stages[name] = stage.model_copy(update={"sources": sources})
    return recipe.model_copy(update={"stages": stages}), faults


def _find_file(name: str, folder: Path) -> str | None:
    given = Path(os.path.expandvars(name)).expanduser()
    return next((str(path) for path in (given, folder / given) if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    """Return whether a path names a file or a folder, or a pattern that some file matches."""
    return path.exists() or (has_magic(str(path)) and any(iglob(str(path), recursive=True)))


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, except: `3e-4` is a number (as in YAML 1.2), and a key that stands twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<: *name`: what stands beside it goes before what it brings
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


_YAML_HINTS = {
    "'\\t'": "YAML takes no tabs there; use spaces",
    "another document": "a recipe is one document; take the line `---` out",
    "mapping values are not allowed": "a text with `: ` in it stands in quotes; keys of a section begin in one column",
    "undefined alias": "the anchor has to stand above it, as in `&name`; a text that begins with * stands in quotes",
}
"""What a parser of YAML says -> what most likely mends it."""


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text (byte {error.start})", where=str(path), hint="save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", where=str(path)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or str(error).splitlines()[0])
        hint = next((hint for words, hint in _YAML_HINTS.items() if words in problem), "")
        raise UserError(f"not valid YAML ({problem})", where=f"{path}{line}", hint=hint) from None
    if circle := _circle(data):
        raise UserError(
            f"{circle}: an alias stands inside the anchor that it names", where=str(path), hint="copy the keys"
        )
    if not isinstance(data, dict):
        raise UserError("a recipe is a mapping of keys, as the shipped recipe demo shows", where=str(path))
    return data


def _circle(value: Any, key: str = "", above: tuple[int, ...] = ()) -> str:
    """The dotted key of a value that holds itself, by an alias; "" where none does."""
    if id(value) in above:
        return key
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = (_circle(part, f"{key}.{name}" if key else str(name), (*above, id(value))) for name, part in parts)
    return next(filter(None, inner), "")


def _override(data: dict[str, Any], override: str) -> tuple[str, str]:
    """Set one dotted KEY=VALUE in the raw recipe; the value is read as YAML. Missing mappings are made, but no stages.

    Returns the dotted key that was set, and the flag that set it.
    """
    key, sign, text = override.partition("=")
    where = f"--set {override}"
    if not sign or not key:
        raise UserError("not KEY=VALUE", where=where, hint="for example --set stages.rl-math.token_budget=8192")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError):
        raise UserError("the value is not valid YAML", where=where) from None
    *path, last = key.split(".")
    _refuse_unknown_stage(data, path, last, where)
    target: Any = data
    for part in path:
        target = _child(target, part, where)
    last = name_in(target, last) if isinstance(target, dict) else last
    _child(target, last, where)
    target[int(last) if isinstance(target, list) else last] = value
    return ".".join([*path, last]), where


def _refuse_unknown_stage(data: dict[str, Any], path: list[str], last: str, where: str) -> None:
    """A change below a stage that is not there is a slip; a stage is added whole, or its kind first."""
    stages = data.get("stages")
    if len(path) < 2 or path[0] != "stages" or not isinstance(stages, dict) or path[1] in stages or last == "kind":
        return
    hint = near(path[1], stages, f"stages are {', '.join(map(str, stages))}")
    raise UserError(f"the recipe has no stage {path[1]!r}", where=where, hint=hint)


def _child(target: Any, part: str, where: str) -> Any:
    """Return what stands under `part`; a mapping makes an empty mapping where nothing does."""
    if isinstance(target, list):
        if not part.isdigit() or int(part) >= len(target):
            raise UserError(f"{part!r} is not an index of a list of {len(target)}", where=where)
        return target[int(part)]
    if not isinstance(target, dict):
        raise UserError(f"{target!r} is a single value, which has no key {part!r}", where=where)
    if target.get(part) is None:
        target[part] = {}
    return target[part]
