"""Cut long sweeps to a fixed sample for `make test`; `make test-full` runs every case."""

from collections.abc import Iterable
from typing import Any

import pytest


def sample_of(cases: Iterable[Any], *keep: Any) -> list[Any]:
    """Return the cases for `parametrize`, each marked `full` unless it is in `keep`.

    Keep the hardest cases and one of each kind: what `make test` leaves out must have a like among them. A case is a
    value or a tuple of values.

    Raises:
        ValueError: if `keep` is empty or names what is no case.
    """
    cases = list(cases)
    if strangers := [case for case in keep if case not in cases]:
        raise ValueError(f"no case of this sweep: {strangers}")
    if not keep:
        raise ValueError("a sweep keeps at least one case in `make test`")
    return [case if case in keep else _full(case) for case in cases]


def _full(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.full)
