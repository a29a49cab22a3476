"""Progress of a stage that works on one part after the other: policies, or checkpoints."""

from collections.abc import Sequence

from ringlite_cli.console import Progress as Bar
from ringlite_cli.samples import Progress


def show_part(bar: Bar, parts: Sequence[str], part: str, state: Progress) -> None:
    """Show progress of one part. parts: all of the stage, in order; [] where the stage does more than these."""
    share = (parts.index(part) + state.done / state.total) / len(parts) if part in parts and state.total else None
    bar.update(state.done, state.total, f"{part}: {state}", share=share)
