"""The pages of the documentation as tests read them: blocks of code, the marks above them, and inline code.

tests/pages/test_page_commands.py runs a block of commands (```bash). An HTML comment in the line above changes that:

    <!-- not run: REASON -->   it is only looked up: its commands, options, make targets and scripts exist
    <!-- full: REASON -->      it is run by --full alone
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?(?P<fence>```+)(?P<language>\w*)\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block. mark: what stands in the comment above it; line: of its fence, from 1."""

    page: Path
    line: int
    language: str
    mark: str
    body: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Return its command lines, continued lines joined, without those that are comments."""
        lines = self.body.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pages() -> list[Path]:
    """Return all pages: the site's, and those at the top of the project that readers meet first."""
    return [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the fenced blocks of a page in these languages (default: all)."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text[: match.start("fence")].count("\n") + 1
        block = Block(page, line, match["language"], (match["mark"] or "").strip(), match["body"])
        if not languages or block.language in languages:
            found.append(block)
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks and comments; lines keep their numbers no longer."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def inline_code(page: Path) -> list[str]:
    """Return what stands between backticks in a page's text, each on one line."""
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]
