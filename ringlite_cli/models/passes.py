"""Whether the sizes of a network fit each other: a pass of a few tokens that computes shapes alone."""

import re
from typing import Any

from ringlite_cli.errors import one_line

_OF_SHAPES = re.compile(r"\b(sizes?|shapes?|dimensions?|negative)\b", re.IGNORECASE)
_TOKENS = 8


def shape_fault(network: Any) -> str:
    """Return what torch says of shapes that do not fit in a network on its meta device; "" where nothing is known.

    Much cannot be computed without numbers: other errors say nothing about the sizes.
    """
    import torch

    tokens = torch.zeros(1, _TOKENS, dtype=torch.long, device="meta")
    try:
        with torch.no_grad():
            network(input_ids=tokens)
    except NotImplementedError:
        return ""
    except Exception as error:  # code of any architecture
        return one_line(error) if isinstance(error, RuntimeError) and _OF_SHAPES.search(str(error)) else ""
    return ""
