"""Sums rounded to 16 bits such that what was added to a weight stays there in the mean."""

from zlib import crc32

import torch
from torch import Tensor

DROPPED = {torch.bfloat16: 16, torch.float16: 13}
"""Bits of a float32 that a format has no room for."""
_PIECE = 1 << 24


def round_by_chance(sums: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Return float32 sums in another format: one of its two neighbours, the nearer one the likelier.

    An adapter adds a little to weights that are numbers of 16 bits themselves. The nearest number of 16 bits is then
    the weight as it was, all over the matrix: after ten steps of LoRA at 1e-5 four fifths of what SmolLM2-135M had
    learned were rounded away. By chance a tenth of a gap moves one weight in ten, and the product stays.

    sums: left as they are. dtype: others than of 16 bits get the nearest number. name: the weight's; the same one draws
    the same, on every rank.
    """
    dropped = DROPPED.get(dtype)
    if dropped is None:
        return sums.to(dtype)
    generator = torch.Generator(sums.device).manual_seed(crc32(name.encode()))
    found = torch.empty(sums.shape, dtype=dtype, device=sums.device)
    for piece, place in zip(sums.reshape(-1).split(_PIECE), found.view(-1).split(_PIECE), strict=True):
        chance = torch.randint(1 << dropped, piece.shape, generator=generator, device=sums.device, dtype=torch.int32)
        chance += piece.view(torch.int32)
        place.copy_(chance.bitwise_and_(-(1 << dropped)).view(torch.float32))
    return found
