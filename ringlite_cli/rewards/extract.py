"""The last complete code block of a response."""

import re
from dataclasses import dataclass

MAX_CHARACTERS = 2_000_000


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
