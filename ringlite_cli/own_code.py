"""Objects of a user's own code, which a recipe names as `module:object`.

The module is looked for where Python looks, and last in the recipe's folder. `fault` says what is wrong with a name
without importing the module; `load` imports it when the stage needs it.
"""

import ast
import importlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, near

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
VARIABLE = "RINGLITE_OWN_CODE"
"""The environment variable that tells processes what their parent declared."""
_declared: set[str] = set()
_folder = ""


@dataclass(frozen=True, slots=True)
class OwnCode:
    """Marks a key of a recipe that takes `module:object`. what: what the object must be, for messages."""

    what: str


def is_own(name: object) -> bool:
    """Return whether a recipe's value names an object of the user's own code."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def declare(names: Iterable[str], folder: Path | None) -> None:
    """Make a recipe's own objects known, here and in processes that are started from now on; forget the last recipe's.

    folder: where modules are looked for last, after all places where Python looks; None where there are no names.
    """
    global _folder
    _declared.clear()
    _declared.update(names)
    if _folder in sys.path:
        sys.path.remove(_folder)
    _folder = str(folder.resolve()) if folder else ""
    os.environ[VARIABLE] = json.dumps({"names": sorted(_declared), "folder": _folder})
    if _folder in sys.path:
        _folder = ""  # not ours to take away
    elif _folder:
        sys.path.append(_folder)


def allow(name: str) -> None:
    """Make one more object known: what a declared one names itself."""
    if name not in _declared:
        _declared.add(name)
        os.environ[VARIABLE] = json.dumps({"names": sorted(_declared), "folder": _folder})


def _take_over() -> None:
    """Know what the process that started this one knew."""
    global _folder
    known = json.loads(os.environ.get(VARIABLE, "{}"))
    _declared.update(known.get("names", ()))
    _folder = known.get("folder", "")
    if _folder and _folder not in sys.path:
        sys.path.append(_folder)


def is_declared(name: str) -> bool:
    """Return whether the recipe at hand names this object. A row of data may not bring one along."""
    return name in _declared


def file_of(name: str) -> Path | None:
    """Return the source file of an object's module, found without importing anything; None where there is none."""
    found, path = None, None
    importlib.invalidate_caches()
    parts = name.partition(":")[0].split(".")
    for depth in range(len(parts)):
        found = PathFinder.find_spec(".".join(parts[: depth + 1]), path)
        if found is None:
            return None
        path = list(found.submodule_search_locations or [])
    origin = found.origin if found else None
    return Path(origin) if origin and origin.endswith(".py") else None


def fault(name: str) -> str:
    """Return why an object cannot be found, and what to do; '' where it can. Nothing is imported."""
    module, _, wanted = name.partition(":")
    file = file_of(name)
    if file is None:
        return (
            f"{name!r}: no module {module!r}; put {module.replace('.', '/')}.py beside the recipe or on "
            "PYTHONPATH, or install the package that holds it"
        )
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        return f"{name!r}: {file}{line} is no Python that can be read ({getattr(error, 'msg', error)}); mend it"
    names = list(_defined(tree))
    if wanted in names or "*" in names:
        return ""
    there = near(wanted, names, f"it defines {', '.join(sorted(set(names))[:8]) or 'nothing'}")
    return f"{name!r}: {file} defines no {wanted!r}; {there}"


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module binds at its top level, those inside `if` and `try` included; "*" for a star import."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            waiting += [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]


def call_of(file: Path, name: str) -> ast.Call | None:
    """Return the call that a module's `name = Something(...)` assigns, as source; None where it is another thing."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return node.value if isinstance(node.value, ast.Call) else None
    return None


def keyword(call: ast.Call, name: str) -> Any:
    """Return the literal of a call's keyword. Raises KeyError without the keyword, ValueError for no literal."""
    for each in call.keywords:
        if each.arg == name:
            return ast.literal_eval(each.value)
    raise KeyError(name)


def load(name: str, kind: type | None = None, *, calls: bool = False) -> Any:
    """Import an object. kind: the class that it must be of. calls: whether it must be callable.

    Raises UserError where it is not there, its module fails, or it is something else.
    """
    if why := fault(name):
        raise UserError(why)
    module, _, wanted = name.partition(":")
    file = file_of(name)
    known = sys.modules.get(module)
    if known is not None and Path(known.__file__ or "") != file:  # of another recipe's folder
        del sys.modules[module]
    try:
        found = getattr(importlib.import_module(module), wanted)
    except Exception as error:
        raise UserError(
            f"{name!r} cannot be imported ({type(error).__name__}: {error})", where=str(file), hint="mend the module"
        ) from error
    if kind is not None and not isinstance(found, kind):
        raise UserError(
            f"{name!r} is of type {type(found).__name__}, not {kind.__name__}",
            where=str(file),
            hint=f"assign it a {kind.__module__}.{kind.__qualname__}",
        )
    if calls and not callable(found):
        raise UserError(f"{name!r} is of type {type(found).__name__}, which cannot be called", where=str(file))
    return found


_take_over()
