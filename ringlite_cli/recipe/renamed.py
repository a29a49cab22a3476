"""Keys that have another name now: what names them by the old one goes on working, and the user is told once."""

import logging
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

NEW_NAMES: Mapping[str, str] = {"max_new_tokens": "max_completion_length", "samples": "num_generations"}
"""Old key -> the key that means the same today, in each section that has it: TRL's names, as under `trl`."""
GONE: Mapping[tuple[str, str], str] = {
    ("CodeTests", "mutants"): "cases are ordered by the programs that the source knows to be wrong"
}
"""(section, key) -> why the key is gone."""


def with_new_names(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier version stored of a section's keys, by today's names."""
    return {NEW_NAMES.get(name, name): value for name, value in keys.items()}


def renamed(keys: Any, known: Collection[str], section: str) -> Any:
    """Return a section's keys as a recipe gives them, by today's names; the user is told of each old one.

    known: the keys of the section. section: its class. Raises ValueError where a recipe gives a key by both names.
    """
    if isinstance(keys, Mapping) and (gone := [name for name in keys if (section, name) in GONE]):
        for name in gone:
            _tell(f"{name} is gone: {GONE[section, name]}; leave it out")
        keys = {name: value for name, value in keys.items() if name not in gone}
    old = [name for name in NEW_NAMES if isinstance(keys, Mapping) and name in keys and _is_old(name, known)]
    if not old:
        return keys
    for name in old:
        if NEW_NAMES[name] in keys:
            raise ValueError(f"{name} is called {NEW_NAMES[name]} now; give {NEW_NAMES[name]} alone")
        _tell(f"{name} is called {NEW_NAMES[name]} now; recipes with the old name go on working")
    return {NEW_NAMES[name] if name in old else name: value for name, value in keys.items()}


def name_in(section: Mapping[str, Any], key: str) -> str:
    """Return the name under which a raw section of a recipe has this key, so that an override replaces it."""
    pairs = {**NEW_NAMES, **{new: old for old, new in NEW_NAMES.items()}}
    return pairs[key] if key not in section and pairs.get(key) in section else key


def _is_old(name: str, known: Collection[str]) -> bool:
    return name not in known and NEW_NAMES[name] in known


@cache
def _tell(notice: str) -> None:
    """Log a notice, once a process."""
    log.warning(notice)
