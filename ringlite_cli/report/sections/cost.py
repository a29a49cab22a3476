"""What the run took: time at work and device hours, as measured; money and energy only by what the user assumes."""

import re

from ringlite_cli.report.blocks import Cell, Column, Table
from ringlite_cli.report.files import mapping, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens, Prices
from ringlite_cli.report.words import decimal, duration, fixed


def cost_table(run: Run, pens: Pens) -> Table | None:
    """A row per stage that says how long it worked, and one for all; None where none says it."""
    timed = [(stage, stage.seconds) for stage in run.stages if stage.seconds]
    if not timed:
        return None
    columns = [Column("stage", False), Column("devices", False), Column("at work"), Column("device hours")]
    prices = pens.prices
    columns += [Column("money")] if prices.hour is not None else []
    columns += [Column("energy, kWh")] if prices.watts is not None else []
    rows, whole, hours = [], 0.0, 0.0
    for stage, seconds in timed:
        spent = seconds * devices(stage) / 3600
        whole, hours = whole + seconds, hours + spent
        rows.append(_row(stage.name, text(mapping(stage.manifest, "versions"), "device", "?"), seconds, spent, prices))
    rows.append(_row("all stages", "", whole, hours, prices, "strong"))
    return Table("Cost", columns, rows, _note(prices))


def devices(stage: Stage) -> int:
    """Return how many devices the stage's manifest counts; 1 for a CPU, or where it does not say."""
    found = re.match(r"(\d{1,6}) x ", text(mapping(stage.manifest, "versions"), "device"))
    return int(found[1]) if found else 1


def _row(name: str, on: str, seconds: float, hours: float, prices: Prices, tone: str = "") -> list[Cell]:
    cells = [Cell(name, tone=tone), Cell(on), Cell(duration(seconds), seconds), Cell(decimal(hours), hours, tone)]
    if prices.hour is not None:
        cells.append(Cell(fixed(hours * prices.hour, 2), hours * prices.hour))
    if prices.watts is not None:
        energy = hours * prices.watts / 1000
        cells.append(Cell(decimal(energy), energy))
    return cells


def _note(prices: Prices) -> str:
    said = "Measured: time at work, by the manifests; the machine and its devices may do other work beside it."
    if prices.hour is not None:
        said += f" Assumed: {prices.hour:g} for an hour of one device (--price)."
    if prices.watts is not None:
        return said + f" Assumed: {prices.watts:g} watts a device all the time at work (--watts); no meter was read."
    return said + " Energy was not measured."
