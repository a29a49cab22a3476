"""Figures as inline SVG: drawn by hand so that they are light, follow the page's colours and keep text as text.

Every panel is WIDTH units wide and shown at about one unit per pixel, so that text has one size on any screen. Colour
comes from CSS classes (`style.css`); ids come from one `Sheet` per page, so that no two figures share one.
"""

from ringlite_cli.report.figures.alone import standalone
from ringlite_cli.report.figures.bars import Bar, bars
from ringlite_cli.report.figures.lines import Series, lines
from ringlite_cli.report.figures.marks import Limit, Marks, Part
from ringlite_cli.report.figures.stack import stack
from ringlite_cli.report.figures.svg import Figure, Key, Sheet
from ringlite_cli.report.figures.whiskers import Whisker, whiskers

__all__ = [
    "Bar",
    "Figure",
    "Key",
    "Limit",
    "Marks",
    "Part",
    "Series",
    "Sheet",
    "Whisker",
    "bars",
    "lines",
    "stack",
    "standalone",
    "whiskers",
]
