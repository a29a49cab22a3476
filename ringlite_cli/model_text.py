"""Text that a model or a file of strangers brought: made fit for a terminal, a page, a file, a column.

A response may hold escape sequences that rewrite a terminal, marks that turn the order of letters around, halves of
surrogate pairs that no UTF-8 file can hold, or millions of characters.
"""

import json
import re
from typing import Any

MOST_DETAIL = 1000
"""Characters of a verdict's detail, or of any other remark that quotes model text."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def shown(text: str) -> str:
    """`text` with its control characters written out (`\\x1b`), so that a terminal or a page only shows them.

    Line ends and tabs stay; so do the marks that scripts need (joiners, left-to-right marks). Other marks that turn
    the order of letters around, and surrogates, are written out too.
    """
    return _CONTROLS.sub(lambda found: _written_out(found[0]), text)


def _written_out(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"


def bounded(text: str, most: int = MOST_DETAIL) -> str:
    """The start of `text`, cut with an ellipsis where it has more than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def remark(text: str) -> str:
    """`text` as a verdict's detail: bounded, and without lone surrogates."""
    return encodable(bounded(text))


def encodable(value: Any) -> Any:
    """A JSON value in which each lone surrogate, which UTF-8 has no bytes for, is the replacement character."""
    if isinstance(value, str):
        return value if _is_utf8(value) else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(inner) for inner in value]
    return value


def _is_utf8(text: str) -> bool:
    """Whether a text has bytes in UTF-8. Encoding it finds a surrogate many times sooner than a search does."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def loads(text: str | bytes) -> Any:
    """The JSON value in `text`, without lone surrogates. Raises ValueError and RecursionError as `json.loads` does."""
    written = text.decode(json.detect_encoding(text), "surrogatepass") if isinstance(text, bytes) else text
    value = json.loads(written)
    return encodable(value) if _SURROGATE_ESCAPE.search(written) or not written.isascii() else value
