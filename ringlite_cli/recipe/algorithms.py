"""What a recipe must know of an algorithm before torch is loaded: its name, its budget, its defaults of TRL's fields.

Read from the sources with `ast`, for the files under c3po/algorithms/ and for a user's own `module:object` alike.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from ringlite_cli.errors import near
from ringlite_cli.own_code import OwnCode, call_of, fault, file_of, is_own, keyword

FOLDER = Path(__file__).parents[1] / "c3po" / "algorithms"


@cache
def algorithms() -> tuple[str, ...]:
    """Return the names of the shipped algorithms, c3po first: those of their files."""
    names = {file.stem for file in FOLDER.glob("[a-z]*.py")}
    return ("c3po", *sorted(names - {"c3po"}))


@dataclass(frozen=True, slots=True)
class Facts:
    """has_budget: whether it selects tokens for a budget. trl_defaults: TRL fields where a recipe does not give them.

    fault: why the source does not tell them; '' where it does.
    """

    has_budget: bool = True
    trl_defaults: dict[str, Any] = field(default_factory=dict)
    fault: str = ""


def facts(name: str) -> Facts:
    """Return what the source of an algorithm tells; nothing is imported."""
    if not is_own(name):
        return _facts(FOLDER / f"{name}.py", "ALGORITHM", name)
    if why := fault(name):
        return Facts(fault=why)
    file = file_of(name)
    assert file
    return _facts(file, name.partition(":")[2], name)


def _facts(file: Path, target: str, name: str) -> Facts:
    call = call_of(file, target)
    if call is None:
        return Facts(fault=f"{name!r}: {file} assigns {target!r} no Algorithm(...); write `{target} = Algorithm(...)`")
    try:
        budget = _given(call, "has_budget", False)
        defaults = _given(call, "trl_defaults", {})
    except (KeyError, ValueError) as error:
        which = error.args[0] if isinstance(error, KeyError) else "has_budget or trl_defaults"
        return Facts(fault=f"{name!r}: {file} does not write {which} of {target!r} as a literal; write has_budget=True "
                     "or False, and trl_defaults={...}, in its call")  # fmt: skip
    return Facts(bool(budget), dict(defaults))


def _given(call: ast.Call, name: str, default: Any) -> Any:
    """A keyword's literal; the default where Algorithm(...) does not have it. `replace(...)` must have it."""
    try:
        return keyword(call, name)
    except KeyError:
        made_new = getattr(call.func, "id", getattr(call.func, "attr", "")) == "Algorithm"
        if made_new or name == "trl_defaults":
            return default
        raise


def _known(name: str) -> str:
    if is_own(name) or name in algorithms():
        return name
    known = ", ".join(map(repr, algorithms()))
    hint = near(name.lower(), algorithms())
    raise ValueError(f"input should be {known} or module:object, not {name!r}" + (f"; {hint}" if hint else ""))


AlgorithmName = Annotated[str, AfterValidator(_known), OwnCode("an Algorithm")]
"""A shipped algorithm's name, or `module:object`."""
