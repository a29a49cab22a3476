"""What in a response is its answer: the last complete `\\boxed{}`, or the last complete code block."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?=\{)|\\boxed\s+([^\s{}$\\]+)")
_ESCAPED = re.compile(r"\\[{}\\]")
MAX_CHARACTERS = 2_000_000


_MOST_BOXES = 40
_GAP = 80
_BETWEEN = re.compile(r"\\(?:text|textbf|mathrm|quad|qquad|[,;:! ()\[\]])(?![A-Za-z])|[\s$~{}()&,;:=]|\\")
_JOIN = re.compile(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|[和或与及、，]")
_SENTENCE = re.compile(r"[.!?。！？](?:\s|$)|\n\s*\n|[.!?。！？]\$")


def last_boxed(response: str) -> str | None:
    """The content of the last complete `\\boxed{}`, braces nested; `\\boxed 5` counts too. None without one."""
    found = next(_boxes_from_the_end(response[-MAX_CHARACTERS:]), None)
    return found[2] if found else None


def final_boxed(response: str) -> str | None:
    """Return the answer in the boxes of the final sentence, or None.

    It is the last box, with those before it that a comma, "and" or "or" joins to it.
    """
    text = response[-MAX_CHARACTERS:]
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
    """Whether what stands between two boxes makes them parts of one answer."""
    if len(gap) > _GAP or _SENTENCE.search(gap):
        return False
    return bool(_JOIN.search(gap)) or (bool(re.search("[,;]", gap)) and not _BETWEEN.sub("", gap))


def _boxes_from_the_end(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, content) of the complete boxes, the last first; a box within another is a part of that one."""
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


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block: its language tag ("" without one), its code, and how many complete blocks there were."""

    language: str
    code: str
    blocks: int


_FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)([^`\n]*+)$")  # possessive: linear in the line


def _language(info: str) -> str:
    """The first word behind an opening fence."""
    return (info.split(maxsplit=1) or [""])[0].strip("{}. ").lower()


def last_code_block(response: str) -> CodeBlock | None:
    """The last complete fenced block; None without one. A block cut off before its closing fence does not count."""
    fence, language, inside, last, blocks = "", "", list[str](), None, 0
    for line in response[-MAX_CHARACTERS:].split("\n"):  # a form feed in a program is no end of a line
        line = line.removesuffix("\r")
        match = _FENCE.match(line)
        if not fence:
            if match:
                fence, language, inside = match[1], _language(match[2]), []
        elif match and match[1][0] == fence[0] and len(match[1]) >= len(fence) and not match[2].strip():
            last, blocks, fence = ("\n".join(inside) + "\n", language), blocks + 1, ""
        else:
            inside.append(line)
    return CodeBlock(last[1], last[0], blocks) if last else None
