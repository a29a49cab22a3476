"""Stored responses that a reader can rely on: a row says what it is of, and its reward is a number or none at all."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError

Row = dict[str, Any]


def sound_response(file: Path, row: Row, needed: Sequence[str]) -> Row:
    """Return a row of stored responses, with None for a reward that is NaN or infinite.

    needed: the keys by which its reader knows the response. Raises UserError for a row that lacks one, or whose reward
    is no number.
    """
    if lacking := [name for name in needed if row.get(name) is None]:
        raise _fault(file, row, f"a response without {', '.join(repr(name) for name in lacking)}")
    reward = row.get("reward")
    if reward is None or (isinstance(reward, int | float) and isfinite(reward)):
        return row
    if isinstance(reward, float):
        return row | {"reward": None}
    raise _fault(file, row, f"a response whose reward is no number ({json.dumps(reward)[:40]})")


def _fault(file: Path, row: Row, what: str) -> UserError:
    begins = json.dumps(row, ensure_ascii=False)[:80]
    return UserError(what, where=str(file), hint=f"mend its row, or take it out; it begins: {begins}")
