"""Shares as percent: what is not all or nothing is never rounded to 100 or to 0."""

EXACT = 1e-9
"""Shares this near to 0 or 1 are sums of floating point that mean just that."""
_MOST_PLACES = 4


def in_percent(share: float, places: int = 0) -> str:
    """Return a share in percent, without the sign, with more places where fewer would tell it as all or nothing.

    >>> [in_percent(share) for share in (0.5, 1.0, 0.996, 0.0004, 1e-8)]
    ['50', '100', '99.6', '0.04', '<0.0001']
    """
    shown = f"{100 * share:.{places}f}"
    end = min(max(round(share), 0), 1)
    if float(shown) not in (0, 100) or abs(share - end) < EXACT:
        return shown
    for more in range(places + 1, _MOST_PLACES + 1):
        if float(shown := f"{100 * share:.{more}f}") not in (0, 100):
            return shown
    return f">{100 - 10**-_MOST_PLACES:.{_MOST_PLACES}f}" if end else f"<{10**-_MOST_PLACES:.{_MOST_PLACES}f}"
