"""Puts the page together: summary, sections, style and script into one file that loads nothing else."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ringlite_cli.errors import WorkFailed
from ringlite_cli.model_text import shown
from ringlite_cli.report.blocks import Section
from ringlite_cli.report.figures import Sheet
from ringlite_cli.report.load import Run, load_run
from ringlite_cli.report.palette import Palette
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import SECTIONS
from ringlite_cli.report.summary import Step, steps, summary
from ringlite_cli.runs.files import write_text

FILE = "report.html"


def write_report(run: Path) -> Path:
    """Writes `run`/report.html from the files of a run folder and returns its path.

    Works for any part of a run: what is missing is said in its section. Raises UserError where `run` is no run folder
    and WorkFailed where the file can't be written.
    """
    page = render(load_run(run))
    path = run / FILE
    try:
        write_text(path, page)
    except OSError as error:
        raise WorkFailed(f"the report can't be written ({error.strerror})", where=str(path)) from None
    return path


def render(run: Run) -> str:
    """The whole page of a run as HTML."""
    pens = Pens(Sheet(), Palette(run))
    return render_page(
        kicker="ringlite run report",
        name=run.name,
        note=run.note,
        summary=summary(run),
        sections=[build(run, pens) for build in SECTIONS],
        steps=steps(run),
        source="the run folder",
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
) -> str:
    """One self-contained page: what it is (`kicker`), its title, the paragraph on top, and sections."""
    # Loaded as text and not as a template: the policy of the page allows this script alone, by its digest.
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            kicker=kicker,
            name=name,
            note=note,
            steps=steps,
            summary=summary,
            sections=sections,
            source=source,
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
    """What a page holds of a value: model text without control characters; markup of our own as it is."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    return resources.files("ringlite_cli.report").joinpath(name).read_text(encoding="utf-8")
