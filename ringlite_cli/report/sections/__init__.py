"""What the page says, one file per section. Each takes the run and the page's pens and returns a Section."""

from collections.abc import Callable

from ringlite_cli.report.blocks import Section
from ringlite_cli.report.load import Run
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import (
    curation,
    provenance,
    reward_model,
    rl,
    rollouts,
    scores,
    selection,
    sft,
    tokens,
)

SECTIONS: list[Callable[[Run, Pens], Section | None]] = [
    scores.section,
    curation.section,
    sft.section,
    selection.section,
    reward_model.section,
    rl.section,
    tokens.section,
    rollouts.section,
    provenance.section,
]
"""In the order of the page: the result first, then how it came about. None for what the run has nothing of."""
