"""The messages that the page of errors quotes are messages of the code, word by word."""

import ast
import re
from functools import cache

from doc_pages import DOCS, ROOT

FAQ = DOCS / "faq.md"


def _text(node: ast.AST) -> str | None:
    """Return a string of the source with … for each value in it; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


@cache
def messages() -> tuple[str, ...]:
    """Return all strings of the package, those that an f-string joins as one."""
    found = set()
    for file in (ROOT / "ringlite_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if text := _text(node):
                found.add(text)
    return tuple(found)


def quoted() -> list[str]:
    """Return the first cell of every row of the page, without its backticks."""
    return re.findall(r"^\| `([^`]+)` \|", FAQ.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_quoted_message_is_in_the_code() -> None:
    assert len(quoted()) > 40
    assert [quote for quote in quoted() if not any(quote in message for message in messages())] == []


def test_a_message_that_is_not_in_the_code_is_found() -> None:
    assert not any("the disk is quite full" in message for message in messages())
    assert any("the disk is full (… MiB free)" in message for message in messages())


def test_every_row_has_a_cause_and_a_cure() -> None:
    rows = [line for line in FAQ.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(quoted())
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 3, row
        assert all(cells), row
