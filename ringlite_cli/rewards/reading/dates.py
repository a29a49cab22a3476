"""Dates and times of day: July 4, 1776 is 4 July 1776, and 3:15 PM is 15:15."""

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_DATES = (
    re.compile(rf"{_MONTH}\s+{_DAY}(?:\s*,?\s*{_YEAR})?"),
    re.compile(rf"{_DAY}\s+(?:of\s+)?{_MONTH}(?:\s*,?\s*{_YEAR})?"),
    re.compile(rf"{_YEAR}-(?P<number>\d{{2}})-(?P<day>\d{{2}})"),
)
_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d))?\s*(?P<half>[ap])\.?\s*m\.?|(?P<h>\d{1,2}):(?P<m>[0-5]\d)"
)
_WORDS = {"noon": 720, "12 noon": 720, "midnight": 0}
_STYLE = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s*\{|[{}$]|\\(?=[ ,;!])")
_LONGEST = 60


def same_moment(gold: str, answer: str) -> bool | None:
    """Return whether two answers name one day, or one time of day; None where one of them names neither."""
    if max(len(gold), len(answer)) > _LONGEST:
        return None
    one, two = _plain(gold), _plain(answer)
    if (dates := (_date(one), _date(two))) and None not in dates:
        return dates[0] == dates[1]
    times = (_minutes(one), _minutes(two))
    return times[0] == times[1] if None not in times else None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", _STYLE.sub(" ", text)).strip(" .").lower()


def _date(text: str) -> tuple[int, int, int] | None:
    """Return (year or 0, month, day)."""
    for form in _DATES:
        if found := form.fullmatch(text):
            parts = found.groupdict()
            month = int(parts["number"]) if parts.get("number") else _MONTHS.index(parts["month"][:3]) + 1
            return int(parts["year"] or 0), month, int(parts["day"])
    return None


def _minutes(text: str) -> int | None:
    """Return the minutes since midnight; None where nothing says which half of the day is meant."""
    if text in _WORDS:
        return _WORDS[text]
    found = _TIME.fullmatch(text if text.endswith("m") else text.rstrip(".")) or _TIME.fullmatch(text + ".")
    if found is None:
        return None
    if found["half"] is None:
        hour = int(found["h"])
        return hour * 60 + int(found["m"]) if 13 <= hour < 24 or found["h"] in ("0", "00") else None
    hour = int(found["hour"])
    if not 1 <= hour <= 12:
        return None
    return (hour % 12 + 12 * (found["half"] == "p")) * 60 + int(found["minute"] or 0)
