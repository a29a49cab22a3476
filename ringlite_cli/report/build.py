"""Puts the page together: summary, sections, style and script into one file that loads nothing else."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ringlite_cli.errors import not_done
from ringlite_cli.model_text import shown
from ringlite_cli.report.blocks import Section
from ringlite_cli.report.figures import Sheet
from ringlite_cli.report.files import JsonRow
from ringlite_cli.report.headline import Headline, headline
from ringlite_cli.report.load import Run, load_run
from ringlite_cli.report.palette import Palette
from ringlite_cli.report.pens import NO_PRICES, Pens, Prices
from ringlite_cli.report.recipe_diff import resolved
from ringlite_cli.report.sections import SECTIONS
from ringlite_cli.report.summary import Step, steps, summary
from ringlite_cli.runs.files import write_text

FILE = "report.html"
SCRIPTS = ("tables.js", "curves.js", "rollouts.js")
"""The page's script, in parts that stand by themselves."""


def write_report(run: Path, *, against: str = "", prices: Prices = NO_PRICES) -> Path:
    """Write `run`/report.html from the files of a run folder and return its path.

    Works for any part of a run: what is missing is said in its section. against: a run folder, a recipe's file or a
    shipped recipe's name, to compare the run's recipe with. Raises UserError where `run` is no run folder or `against`
    is neither, and as `not_done` says where the file can't be written.
    """
    page = render(load_run(run), beside=resolved(against) if against else None, prices=prices)
    path = run / FILE
    try:
        write_text(path, page)
    except OSError as error:
        raise not_done("the report can't be written", error, where=str(path)) from None
    return path


def render(run: Run, *, beside: tuple[str, JsonRow] | None = None, prices: Prices = NO_PRICES, live: str = "") -> str:
    """The whole page of a run as HTML. live: the state of the run's files, for a page that asks its server for more."""
    pens = Pens(Sheet(), Palette(run), beside, prices)
    return render_page(
        kicker="ringlite run report",
        name=run.name,
        note=run.note,
        headline=headline(run, pens.palette),
        summary=summary(run),
        sections=[page for build in SECTIONS if (page := build(run, pens)) is not None],
        steps=steps(run),
        source="the run folder",
        live=live,
    )


def render_page(
    *,
    kicker: str,
    name: str,
    summary: str,
    sections: Sequence[Section],
    source: str,
    note: str = "",
    steps: Sequence[Step] = (),
    headline: Headline | None = None,
    live: str = "",
) -> str:
    """Return one self-contained page: its kind (`kicker`), its title, the paragraph on top, and its sections."""
    # Loaded as text and not as a template: the policy of the page allows this script alone, by its digest.
    script = "\n".join(_asset(name) for name in (*SCRIPTS, *(("live.js",) if live else ())))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            kicker=kicker,
            name=name,
            note=note,
            steps=steps,
            headline=headline,
            summary=summary,
            sections=sections,
            source=source,
            live=live,
            figure_style=Markup(_asset("figures.css")),
            style=Markup(_asset("style.css")),
            script=Markup(script),
            script_digest=digest,
        )
    )


def _environment() -> Environment:
    loader = PackageLoader("ringlite_cli.report", "templates")
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_printed, **options)


def _printed(value: Any) -> Any:
    """Return what a page holds of a value: model text without control characters; markup of our own as it is."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    return resources.files("ringlite_cli.report").joinpath(name).read_text(encoding="utf-8")
