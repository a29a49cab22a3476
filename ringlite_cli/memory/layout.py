"""How long a packed row may be in the memory there is: longer rows are faster, until they no longer fit. No torch."""

from dataclasses import dataclass, replace

from ringlite_cli.memory.fit import Beside, Fit, fit
from ringlite_cli.memory.held import Shape, Training

FREE = 0.15
"""Share of the memory that is left alone, for rows that are longer than the mean and for what no formula counts."""
LONGEST_ROW = 131_072
"""Past this a row gains nothing, and its kernels come near 32-bit indices."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Aimed tokens of a packed row, and whether its activations must be recomputed in the backward pass."""

    row_tokens: int
    gradient_checkpointing: bool


def choose_layout(
    shape: Shape,
    how: Training,
    longest: int,
    memory: int,
    beside: Beside | None = None,
    *,
    total: int | None = None,
    row_tokens: int | None = None,
    checkpointing: bool | None = None,
) -> tuple[RowLayout, Fit]:
    """Return the longest row that fits, and how all fits: without checkpointing, unless the longest sample needs it.

    how: its row_tokens and checkpointing are chosen here. longest: tokens of the longest sample with its prompt; a row
    is never shorter, so what cannot hold even that has faults. memory, total: bytes of the GPU, free ones and all; an
    engine's share is chosen first, beside a row of the longest sample. row_tokens, checkpointing: what the user has
    decided.
    """
    least = replace(how, row_tokens=row_tokens or longest, checkpointing=checkpointing is not False)
    first = fit(shape, least, memory, beside, total=total)
    if beside is not None:
        beside = replace(beside, share=first.share)
    room = int((1 - FREE) * memory)
    plain, recomputed = (_longest_row(shape, replace(how, checkpointing=flag), room, beside) for flag in (False, True))
    if checkpointing is None:
        checkpointing = plain < (row_tokens or longest)
    fits = min(recomputed if checkpointing else plain, LONGEST_ROW)
    layout = RowLayout(row_tokens or max(longest, fits), checkpointing)
    chosen = replace(how, row_tokens=layout.row_tokens, checkpointing=checkpointing)
    return layout, first if first.faults() else fit(shape, chosen, memory, beside, total=total)


def _longest_row(shape: Shape, how: Training, memory: int, beside: Beside | None) -> int:
    """Tokens of the longest row whose update takes no more than `memory`; 0 where none does."""
    none, many = (fit(shape, replace(how, row_tokens=n), memory, beside) for n in (0, 10_000))
    each = (many.in_update - none.in_update) / 10_000
    return max(0, int((memory - none.in_update) / each))
