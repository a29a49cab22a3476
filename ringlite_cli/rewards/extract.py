"""What in a response is its answer: the last complete `\\boxed{}`, or the last complete code block."""

import re
from dataclasses import dataclass

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?=\{)|\\boxed\s+([^\s{}$\\]+)")
_ESCAPED = re.compile(r"\\[{}\\]")
MAX_CHARACTERS = 2_000_000


def last_boxed(response: str) -> str | None:
    """The content of the last complete `\\boxed{}`, braces nested; `\\boxed 5` counts too. None without one."""
    found = list(_BOX.finditer(response[-MAX_CHARACTERS:]))
    text = response[-MAX_CHARACTERS:]
    for match in reversed(found):
        if match[1] is not None:
            return match[1]
        end = _closing_brace(text, match.end())
        if end is not None:
            return text[match.end() + 1 : end].strip()
        text = text[: match.start()]  # an unclosed box; whatever is before it may be complete
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth, place = 0, start
    while place < len(text):
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


_FENCE = re.compile(r"^ {0,3}(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^`\n]*+$")  # possessive: linear on any line


def last_code_block(response: str) -> CodeBlock | None:
    """The last complete fenced block; None without one. A block cut off before its closing fence does not count."""
    fence, language, inside, last, blocks = "", "", list[str](), None, 0
    for line in response[-MAX_CHARACTERS:].split("\n"):  # a form feed in a program is no end of a line
        line = line.removesuffix("\r")
        match = _FENCE.match(line)
        if not fence:
            if match:
                fence, language, inside = match[1], match[2].strip("{}. ").lower(), []
        elif match and match[1][0] == fence[0] and len(match[1]) >= len(fence) and not match[2]:
            last, blocks, fence = ("\n".join(inside) + "\n", language), blocks + 1, ""
        else:
            inside.append(line)
    return CodeBlock(last[1], last[0], blocks) if last else None
