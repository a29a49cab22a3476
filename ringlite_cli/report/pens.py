"""What sections draw with: the page's figure ids and its colours."""

from dataclasses import dataclass

from ringlite_cli.report.figures import Sheet
from ringlite_cli.report.palette import Palette


@dataclass(frozen=True, slots=True)
class Pens:
    sheet: Sheet
    palette: Palette
