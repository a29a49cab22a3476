"""What sections draw with: the page's figure ids, its colours, and what the user gave beside the run."""

from dataclasses import dataclass

from ringlite_cli.report.figures import Sheet
from ringlite_cli.report.files import JsonRow
from ringlite_cli.report.palette import Palette


@dataclass(frozen=True, slots=True)
class Prices:
    """What the user assumes of a device: money an hour, and watts while a stage works; None where nothing is."""

    hour: float | None = None
    watts: float | None = None


NO_PRICES = Prices()


@dataclass(frozen=True, slots=True)
class Pens:
    """beside: the name of a recipe to compare the run's with, and what it resolves to; None for the shipped one."""

    sheet: Sheet
    palette: Palette
    beside: tuple[str, JsonRow] | None = None
    prices: Prices = NO_PRICES
