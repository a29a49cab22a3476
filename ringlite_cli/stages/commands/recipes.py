"""`ringlite recipes` with --show and --copy, and `ringlite schema`: what is shipped, to read, to take and to edit."""

import json
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError, near
from ringlite_cli.recipe.editor_schema import FILE, MODELINE, recipe_schema
from ringlite_cli.recipe.load import shipped_experiments, shipped_recipes
from ringlite_cli.stages.commands.answers import answer


def list_recipes(console: Console) -> None:
    """Print the name and first line of every shipped recipe and experiment, or all of it as JSON."""
    shipped = {"recipe": shipped_recipes(), "experiment": shipped_experiments()}
    rows = [
        {"name": name, "kind": kind, "about": _first_comment(path), "path": str(path)}
        for kind, files in shipped.items()
        for name, path in files.items()
    ]
    ends = {"recipe": "", "experiment": " (ringlite experiment {name})"}
    said = "\n".join(f"{row['name']:<24} {row['about']}{ends[row['kind']].format(**row)}" for row in rows)
    answer(console, "recipes", {"recipes": rows}, said)


def show_recipe(name: str, console: Console) -> None:
    """Print a shipped recipe's file. Raises UserError for a name that is none."""
    console.answer(_shipped(name).read_text(encoding="utf-8").removesuffix("\n"))


def copy_recipe(name: str, destination: Path | None, console: Console) -> Path:
    """Copy a shipped recipe into a file or folder, with the schema for editors beside it; return the copy.

    destination: default: NAME.yaml here. Raises UserError where a file is there already.
    """
    source = _shipped(name)
    target = destination or Path(source.name)
    target = target / source.name if target.is_dir() else target
    if target.suffix not in (".yaml", ".yml"):
        raise UserError("a recipe is a .yaml file", where=str(target), hint=f"give {target}.yaml, or a folder")
    text = source.read_text(encoding="utf-8")
    write_new(target, text)
    console.say(f"wrote {target}; change its `name:` too, or its runs go where {name}'s do")
    return target


def write_new(target: Path, text: str) -> None:
    """Write a recipe where there is no file, and the schema for editors beside it where there is none.

    Raises UserError where a file is there, or nothing can be written.
    """
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
        schema = target.with_name(FILE)
        if MODELINE in text and not schema.exists():
            schema.write_text(schema_text(), encoding="utf-8")
    except FileExistsError:
        raise UserError(
            "the file is there already, and is left as it is", where=str(target), hint="give another name"
        ) from None
    except OSError as error:
        raise UserError(f"it can't be written ({error.strerror})", where=str(target)) from None


def schema_text() -> str:
    """Return the JSON Schema of a recipe as a file's text."""
    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"


def _shipped(name: str) -> Path:
    known = {**shipped_experiments(), **shipped_recipes()}
    if name not in known:
        raise UserError(
            f"no shipped recipe {name!r}",
            where="ringlite recipes",
            hint=near(name, known, "`ringlite recipes` lists them"),
        )
    return known[name]


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
