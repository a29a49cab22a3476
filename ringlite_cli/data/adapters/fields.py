"""What adapters share: typed access to a raw row, and the common shapes of answers."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NotRequired, TypedDict

from ringlite_cli.boxes import last_boxed

Raw = Mapping[str, Any]


class Fields(TypedDict):
    """What an adapter fills of a Problem; id, source and index come from the loader."""

    prompt: str
    domain: NotRequired[str]
    answer: NotRequired[str | None]
    tests: NotRequired[dict[str, Any] | None]
    trace: NotRequired[str | None]
    verifier: NotRequired[str]
    labels: NotRequired[dict[str, Any]]


class BadRow(Exception):
    """The row is not of the adapter's schema; the message says how."""


def text(row: Raw, *names: str) -> str:
    """The first of these columns that is there, which must be text. Raises BadRow where none is, or it is empty."""
    value = _first(row, names)
    empty = [name for name in names if name in row]
    if value is None and empty:
        raise BadRow(f"{empty[0]!r} is empty")
    if value is None:
        raise BadRow(f"no column {' or '.join(map(repr, names))}; it has {', '.join(map(repr, row)) or 'none'}")
    if not isinstance(value, str):
        raise BadRow(f"{names[0]!r} is a {type(value).__name__}, not text")
    return value


def optional_text(row: Raw, *names: str) -> str | None:
    """Return what `text` returns, but None where no such column is filled."""
    return None if _first(row, names) is None else text(row, *names)


def _first(row: Raw, names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def labels(row: Raw, **columns: str) -> dict[str, Any]:
    """Our label -> the row's column, for those that are filled with a plain value (-1 stands for unknown)."""
    found = {ours: row.get(theirs) for ours, theirs in columns.items()}
    return {k: v for k, v in found.items() if isinstance(v, str | int | float) and v not in ("", -1)}


def answer_text(value: Any) -> str | None:
    """A gold answer of any type as text: 142.0 -> "142"; a list of one -> its item; of several -> JSON text."""
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadRow(f"the answer is {value}")
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list | tuple):
        several = list(dict.fromkeys(a for a in map(answer_text, value) if a))
        if len(several) > 1:
            return json.dumps(several, ensure_ascii=False)
        return several[0] if several else None
    raise BadRow(f"the answer is a {type(value).__name__}")


def single(answer: str) -> str:
    """The answer, out of JSON text of a list of one: '["12"]' is 12."""
    if not answer.startswith('["'):
        return answer
    with suppress(ValueError):
        listed = json.loads(answer)
        if len(listed) == 1 and isinstance(listed[0], str):
            return listed[0]
    return answer


def one_answer(value: Any) -> str | None:
    """As `answer_text`, but a list is one answer of several items, in order: [4, 2] -> "[4, 2]".

    An object, or a list of objects, is JSON text: instructions with their arguments, or a judge's rubric.
    """
    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value)):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, list | tuple):
        return answer_text(value)
    items = [one_answer(item) for item in value]
    if None in items:
        raise BadRow("an item of the answer is empty")
    return items[0] if len(items) == 1 else f"[{', '.join(map(str, items))}]" if items else None


def reference_texts(value: Any) -> str | None:
    """Reference answers as text: one as it is, several as JSON text of a list, of which a response may be like any.

    A mapping is SQuAD's, with the texts under "text". None where no text is there.
    """
    if isinstance(value, Mapping):
        value = value.get("text")
    if not isinstance(value, list | tuple):
        return answer_text(value)
    texts = list(dict.fromkeys(text for each in value if (text := answer_text(each))))
    return json.dumps(texts, ensure_ascii=False) if len(texts) > 1 else texts[0] if texts else None


def boxed_trace(row: Raw, *names: str) -> str | None:
    """A worked solution, where it is there and ends in a box; one without shows no answer that could be checked."""
    worked = optional_text(row, *names)
    return worked.strip() if worked and last_boxed(worked) else None


def fenced(program: str) -> str:
    """A Python program as the code block of a response."""
    return f"```python\n{program.strip()}\n```"
