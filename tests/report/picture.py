"""Makes docs/report.png, the top of a run's report and its first curves: python tests/report/picture.py RUN PNG."""

import sys
import tempfile
from pathlib import Path

from browser import MISSING, Browser

from ringlite_cli.report import write_report

SHOWN = """
const away = "main > section:not(#rl), .strip, .way, .rules, .numbers, footer";
document.querySelectorAll(away).forEach((each) => each.remove());
const curves = [...document.querySelectorAll("#rl .figures figure")].slice(0, 6);
document.querySelector("#rl").replaceChildren(document.querySelector("#rl h2"), document.querySelector("#rl .figures"));
document.querySelector("#rl .figures").replaceChildren(...curves);
"""


def picture(run: Path, out: Path) -> None:
    """Write a PNG of the report of `run`."""
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        try:
            browser.open(write_report(run), width=1240, height=800)
            browser.run(SHOWN)
            browser.picture(out, whole=True)
        finally:
            browser.close()


if __name__ == "__main__":
    if MISSING or len(sys.argv) != 3:
        sys.exit(MISSING or __doc__)
    picture(Path(sys.argv[1]), Path(sys.argv[2]))
