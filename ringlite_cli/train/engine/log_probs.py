"""Log-probabilities of drawn tokens, read from the flat lists in which vLLM keeps them for those who ask.

Unless it is asked, vLLM makes a dict and an object for every token, which take longer to make and to read and several
times the memory. All versions that ringlite takes have the lists (`vllm.logprobs.FlatLogprobs`): `logprobs` and
`token_ids` of all positions one after another, of each position the drawn token first, and where each one starts.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from trl.generation import vllm_generation


def ask_flat(params: Any) -> None:
    """Have vLLM keep the log-probabilities of a request in flat lists. params: its SamplingParams."""
    params.flat_logprobs = True


def sampled(flat: Any, tokens: Sequence[int]) -> list[float] | None:
    """Return the log-probability of each drawn token, in nats; None where vLLM was asked for none.

    Raises ValueError where the lists are not those of these tokens.
    """
    if flat is None:
        return None
    ids, values = flat.token_ids, flat.logprobs
    if len(values) == len(flat):  # a copy, for vLLM may still write
        ids, values = list(ids), list(values)
    else:
        ids, values = [ids[start] for start in flat.start_indices], [values[start] for start in flat.start_indices]
    if ids != list(tokens):
        raise ValueError(f"vLLM gave log-probabilities of {len(ids)} other tokens than the {len(tokens)} it drew")
    return values


@contextmanager
def read_flat() -> Iterator[None]:
    """Have TRL's generation read flat lists as they are in this block; it would make a dict of every token again."""
    module: Any = vllm_generation
    plain = module.extract_logprobs
    module.extract_logprobs = partial(extract, plain)
    try:
        yield
    finally:
        module.extract_logprobs = plain


def extract(plain: Callable[[list[Any]], Any], outputs: list[Any]) -> Any:
    """Return what TRL's `extract_logprobs` returns, whose lists of one are made when they are read.

    plain: that function, which is called where there are no flat lists, or several entries a token.
    """
    from vllm.logprobs import FlatLogprobs

    flats = [one.logprobs for output in outputs for one in output.outputs]
    if not all(isinstance(flat, FlatLogprobs) and len(flat.logprobs) == len(flat) for flat in flats):
        return plain(outputs)
    values = [OfOne([None if math.isnan(value) else value for value in flat.logprobs]) for flat in flats]
    return values, [OfOne(flat.token_ids) for flat in flats]


class OfOne(Sequence[tuple[Any]]):
    """Values, each in a tuple of its own that is made when it is read."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return OfOne(self._values[place])
        return (self._values[place],)

    def __iter__(self) -> Iterator[tuple[Any]]:
        return zip(self._values, strict=True)
