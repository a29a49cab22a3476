"""What the columns beside the mapped ones say of a row: that it brings a picture, or choices that its prompt lacks."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.data.adapters.fields import Raw

_PICTURE = re.compile(
    r"(?:decoded_|input_|question_)?(?:image|img|picture|figure|photo)s?(?:_?\d+|_path|_url|_file|_name|_bytes)?|图片?",
    re.I,
)
_PICTURE_FILE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|bmp|tiff?)(?:\?\S*)?\Z|\Adata:image/|<image", re.I)
_CHOICES = re.compile(r"(?:answer_?|candidate_?)?(?:choices|options|candidates|alternatives)|endings|选项", re.I)
_CHOICE = re.compile(r"(?:op(?:tion)?|choice|answer|ending|选项|)[_ ]?([a-eA-E]|[0-4])", re.I)
_FEWEST = 2
_LETTER = re.compile(r"(?:(?:answer|ans\.?|option)\s*(?:is|:)?\s*)?[(\[]?([A-Ka-k])[)\].]*", re.I)
_VALUE = re.compile(r"[\d\\^=+√π]")


def shows_picture(row: Raw) -> bool:
    """Return whether a column of the row holds a picture, or names the file of one."""
    return any(_PICTURE.fullmatch(name) and _is_picture(value) for name, value in row.items())


def lacks_choices(row: Raw, prompt: str, answer: str | None) -> bool:
    """Return whether the answer picks one of choices that stand in columns of their own, and not in the prompt.

    A value that stands among them is an answer without them too: "How many? 40, 45 or 49".
    """
    said = (answer or "").strip()
    choices = _choices(row) if said else []
    if len(choices) < _FEWEST or all(choice in prompt for choice in choices):
        return False
    letter = _LETTER.fullmatch(said)
    if letter and ord(letter[1].lower()) - ord("a") < len(choices):
        return True
    if said.isdigit() and int(said) <= len(choices) and not any(map(_VALUE.search, choices)):
        return True
    return said in choices and not _VALUE.search(said)


def _is_picture(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(name) for name in ("bytes", "path", "src", "url"))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return any(map(_is_picture, value))
    return bool(value) if isinstance(value, bytes) else isinstance(value, str) and bool(_PICTURE_FILE.search(value))


def _choices(row: Raw) -> list[str]:
    """The texts of the choices, in one column or in a column each."""
    for name, value in row.items():
        if _CHOICES.fullmatch(name):
            if isinstance(value, Mapping):
                value = value.get("text") or list(value.values())
            if isinstance(value, Sequence) and not isinstance(value, str | bytes):
                return _texts(value)
    by_stem: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        if found := _CHOICE.fullmatch(name):
            by_stem.setdefault(name[: found.start(1)].lower(), {})[found[1].lower()] = value
    for columns in by_stem.values():
        if {"a", "b", "c"} <= columns.keys() or {"1", "2"} <= columns.keys():
            return _texts([columns[mark] for mark in sorted(columns)])
    return []


def _texts(values: Sequence[Any]) -> list[str]:
    texts = [str(value.get("text", "")) if isinstance(value, Mapping) else str(value or "") for value in values]
    return [text.strip() for text in texts if text.strip()]
