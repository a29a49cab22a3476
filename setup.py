"""What pyproject.toml cannot say: the wheel's description is the README, without links that lead nowhere from there."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]\n]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def description(text: str, source: str) -> str:
    """Return a Markdown text with its relative links made absolute below `source`.

    source: where the project's files can be read on the web; where '', a link leaves its words, a picture nothing.
    """
    return LINK.sub(lambda found: _made_absolute(found[1], found[2], found[3], source.rstrip("/")), text)


def _made_absolute(picture: str, words: str, path: str, source: str) -> str:
    if not source:
        return "" if picture else words
    return f"{picture}[{words}]({source}/{'raw' if picture else 'blob'}/HEAD/{path})"


if __name__ == "__main__":
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=description(
            (HERE / "README.md").read_text(encoding="utf-8"), project.get("urls", {}).get("Source", "")
        ),
        long_description_content_type="text/markdown",
    )
