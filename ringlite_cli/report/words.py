"""Numbers as words: one way to print counts, tokens, shares, times and scores all over the page."""

from math import isfinite

from ringlite_cli.shares import in_percent

NONE = "–"
NBSP = "\u00a0"
MINUS = "\u2212"


def count(value: float | None) -> str:
    """1234567 -> 1,234,567."""
    return NONE if value is None else f"{value:,.0f}".replace("-", MINUS)


def short(value: float | None) -> str:
    """1234567 -> 1.23 M; below 10,000 the count itself."""
    if value is None:
        return NONE
    if not isfinite(value):
        return f"{value}".replace("-", MINUS)
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= 0.9995 * size:  # what rounds to the next unit is in the next unit
            scaled = value / (1e3 if unit == "k" else size)
            shown = f"{scaled:.3g}" if abs(scaled) < 999.5 else f"{scaled:,.0f}"
            return (shown + NBSP + unit).replace("-", MINUS)
    return count(value)


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, without an exponent where that stays short."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return short(value)
    shown = f"{value:#.{digits}g}" if abs(value) >= 1e-4 else f"{value:.1e}"
    return shown.rstrip(".").replace("-", MINUS)


def fixed(value: float | None, places: int) -> str:
    return NONE if value is None else f"{value:.{places}f}".replace("-", MINUS)


def percent(share: float | None, places: int = 1) -> str:
    """0.382 -> 38.2 %; what is not all is not told as 100.0 %, nor what is not nothing as 0.0 %."""
    return NONE if share is None else in_percent(share, places).replace("-", MINUS) + NBSP + "%"


def percent_interval(ends: tuple[float, float] | None) -> str:
    """(0.351, 0.413) -> 35.1 – 41.3."""
    return NONE if ends is None else f"{fixed(100 * ends[0], 1)} – {fixed(100 * ends[1], 1)}"


def points(change: float | None) -> str:
    """A difference of shares in percentage points, signed: 0.168 -> +16.8."""
    if change is None:
        return NONE
    return ("+" if change > 0 else "") + fixed(100 * change, 1)


def duration(seconds: float | None) -> str:
    """3700 -> 1 h 02 min; 252 -> 4 min 12 s; 12.34 -> 12.3 s."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 48:
        return f"{hours // 24}{NBSP}d {hours % 24:02d}{NBSP}h"
    if hours:
        return f"{hours}{NBSP}h {minutes:02d}{NBSP}min"
    return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"


def size(value: float | None) -> str:
    """Bytes: 1536 -> 1.5 KiB."""
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f}{NBSP}{unit}" if unit == "B" else f"{value:.1f}{NBSP}{unit}"
        value /= 1024
    return f"{value:.1f}{NBSP}TiB"


def joined(words: list[str]) -> str:
    """["a", "b", "c"] -> a, b and c."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def label(name: str) -> str:
    """An identifier as a label: not_unique -> not unique."""
    return name.replace("_", " ")


def clipped(words: str, limit: int) -> str:
    return words if len(words) <= limit else words[: limit - 1] + "…"
