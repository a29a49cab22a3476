"""The one reader of `\\boxed{}`: rewards, maj@k, curation and the library find the same answer in a text."""

import re
from collections.abc import Iterator

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?=\{)|\\boxed\s+([^\s{}$\\]+)")
_ESCAPED = re.compile(r"\\[{}\\]")
_MAX_CHARACTERS = 2_000_000  # at the end of a text; what is before them is not searched
_MOST_BOXES = 40
_GAP = 80
_BETWEEN = re.compile(r"\\(?:text|textbf|mathrm|quad|qquad|[,;:! ()\[\]])(?![A-Za-z])|[\s$~{}()&,;:=]|\\")
_JOIN = re.compile(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|[和或与及、，]")
_SENTENCE = re.compile(r"[.!?。！？](?:\s|$)|\n\s*\n|[.!?。！？]\$")


def last_boxed(response: str) -> str | None:
    """Return the content of the last complete `\\boxed{}`, or None.

    Braces may be nested; `\\boxed 5`, `\\fbox{5}` and `\\framebox{5}` count too. A box that never closes does not.
    """
    found = next(_boxes_from_the_end(response[-_MAX_CHARACTERS:]), None)
    return found[2] if found else None


def last_box(response: str) -> str | None:
    """Return the last complete box as it is written, `\\boxed{}` around its content included, or None."""
    text = response[-_MAX_CHARACTERS:]
    found = next(_boxes_from_the_end(text), None)
    return text[found[0] : found[1]] if found else None


def final_boxed(response: str) -> str | None:
    """Return the answer in the boxes of the final sentence, or None.

    It is the last box, with those before it that a comma, "and" or "or" joins to it.
    """
    text = response[-_MAX_CHARACTERS:]
    kept: list[tuple[int, int, str]] = []
    for box in _boxes_from_the_end(text):
        if kept and not _joined(text[box[1] : kept[-1][0]]):
            break
        kept.append(box)
        if len(kept) == _MOST_BOXES:
            break
    contents = list(dict.fromkeys(content for _, _, content in reversed(kept)))
    return ", ".join(contents) if contents else None


def _joined(gap: str) -> bool:
    """Return whether what stands between two boxes makes them parts of one answer."""
    if len(gap) > _GAP or _SENTENCE.search(gap):
        return False
    return bool(_JOIN.search(gap)) or (bool(re.search("[,;]", gap)) and not _BETWEEN.sub("", gap))


def _boxes_from_the_end(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, content) of the complete boxes, the last first; a box within another is a part of it."""
    limit = len(text)
    for match in reversed(list(_BOX.finditer(text))):
        if match[1] is not None:
            yield match.start(), match.end(), match[1]
        else:
            end = _closing_brace(text, match.end(), limit)
            if end is not None:
                yield match.start(), end + 1, text[match.end() + 1 : end].strip()
        limit = match.start()  # an unclosed box; whatever is before it may be complete


def _closing_brace(text: str, start: int, limit: int) -> int | None:
    depth, place = 0, start
    while place < limit:
        if text[place] == "\\" and _ESCAPED.match(text, place):
            place += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
        place += 1
    return None
