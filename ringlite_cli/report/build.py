"""Puts the page together: summary, sections, style and script into one file that loads nothing else."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ringlite_cli.errors import WorkFailed
from ringlite_cli.report.figures import Sheet
from ringlite_cli.report.load import Run, load_run
from ringlite_cli.report.palette import Palette
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import SECTIONS
from ringlite_cli.report.summary import steps, summary
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
    """The whole page as HTML."""
    pens = Pens(Sheet(), Palette(run))
    # Loaded as text and not as a template: the policy of the page allows this script alone, by its digest.
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            steps=steps(run),
            summary=summary(run),
            sections=[build(run, pens) for build in SECTIONS],
            style=Markup(_asset("style.css")),
            script=Markup(script),
            script_digest=digest,
        )
    )


def _environment() -> Environment:
    loader = PackageLoader("ringlite_cli.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _asset(name: str) -> str:
    return resources.files("ringlite_cli.report").joinpath(name).read_text(encoding="utf-8")
