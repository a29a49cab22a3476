"""Links between pages lead somewhere, every page can be reached, and the site is built of what is there."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, pages, prose

LINK = re.compile(r"\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(([^)\s]+)\)")
OUTSIDE = ("http://", "https://", "mailto:")


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(prose(page)) if not link.startswith(OUTSIDE)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, by the rule of the generator's table of contents."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())
        number, name = 0, slug
        while name in found:
            number += 1
            name = f"{slug}_{number}"
        found.add(name)
    return found


def broken(page: Path) -> list[str]:
    faults = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            faults.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            faults.append(f"{link}: no such heading")
    return faults


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One\n\n## Two words, `three`\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md) [b](other.md#two-words-three) [c](none.md) [d](other.md#four) [e](#top)\n# Top\n")
    assert broken(page) == ["none.md: no such file", "other.md#four: no such heading"]


def nav() -> list[str]:
    found: list[str] = []

    def walk(entry: object) -> None:
        if isinstance(entry, str):
            found.append(entry)
        for inner in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
            walk(inner)

    walk(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    return found


def test_the_menu_has_every_page_once() -> None:
    assert sorted(nav()) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_code_and_comments_name_pages_that_exist() -> None:
    files = [*(ROOT / "ringlite_cli").rglob("*.py"), *(ROOT / "ringlite").rglob("*.py")]
    files += [
        *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "ringlite_cli" / "shipped").rglob("*.yaml"),
        ROOT / "Makefile",
    ]
    named = {(f, name) for f in files for name in re.findall(r"docs/[\w/.-]+\.md", f.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert [f"{file}: {name}" for file, name in named if not (ROOT / name).exists()] == []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    (tmp_path / "zensical.toml").write_text(config)
    shutil.copytree(DOCS, tmp_path / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", "zensical.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    built = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "pipeline.svg" in built
