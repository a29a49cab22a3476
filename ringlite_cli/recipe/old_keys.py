"""Keys of RL that were renamed: recipes that name them go on working, and are told."""

import logging
from functools import cache
from typing import Any

log = logging.getLogger(__name__)


def with_new_names(keys: Any) -> Any:
    """Return a section's keys with today's names. Raises ValueError where a recipe gives an old and a new one."""
    if not isinstance(keys, dict) or "importance_cap" not in keys:
        return keys
    kept = {name: value for name, value in keys.items() if name != "importance_cap"}
    cap = keys["importance_cap"]
    if cap is None:
        return kept
    if "mismatch" in kept:
        raise ValueError(f"importance_cap: {cap} is mismatch: {{rule: truncate, cap: {cap}}}; give mismatch alone")
    _tell(f"importance_cap is called mismatch now: write mismatch: {{rule: truncate, cap: {cap}}}")
    return kept | {"mismatch": {"rule": "truncate", "cap": cap}}


@cache
def _tell(notice: str) -> None:
    """Log a notice, once a process."""
    log.warning(notice)
