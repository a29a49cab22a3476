"""Pairs as tokens: what is too long is left out or cut, and what is then equal teaches nothing; all is counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli.chat.judged import judged_ids
from ringlite_cli.errors import UserError

TOO_LONG, EQUAL_TOKENS = "too long", "equal tokens"
EQUAL_ONCE_CUT = "equal but for what is cut off"

Asked = tuple[Sequence[Mapping[str, str]], str, str]
"""What was asked, the better response and the worse one."""


@dataclass
class PairSamples:
    """Tokens of the better and of the worse texts, in the pairs' order; places: of the pairs that are kept."""

    chosen: list[list[int]] = field(default_factory=list)
    rejected: list[list[int]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    longest: int = 0  # of all texts, before any was left out or cut

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def tokens(self) -> int:
        """Return the tokens of all texts that are kept."""
        return sum(map(len, self.chosen)) + sum(map(len, self.rejected))


def pair_samples(tokenizer: Any, pairs: Sequence[Asked], limit: int | None, *, truncate: bool) -> PairSamples:
    """Return the tokens of pairs. limit: tokens that a text may have; truncate: cut longer ones at their end.

    Raises UserError where the chat template refuses a conversation.
    """
    made = PairSamples()
    for place, (asked, *responses) in enumerate(pairs):
        chosen, rejected = (judged_ids(tokenizer, asked, response) for response in responses)
        longest = max(len(chosen), len(rejected))
        made.longest = max(made.longest, longest)
        if chosen == rejected:
            made.left_out[EQUAL_TOKENS] += 1
            continue
        if limit is not None and longest > limit:
            if not truncate:
                made.left_out[TOO_LONG] += 1
                continue
            chosen, rejected = chosen[:limit], rejected[:limit]
            if chosen == rejected:
                made.left_out[EQUAL_ONCE_CUT] += 1
                continue
            made.cut += 1
        made.chosen.append(chosen)
        made.rejected.append(rejected)
        made.places.append(place)
    return made


def check_left_out(made: PairSamples, count: int, limit: int | None, max_left_out: float, where: str) -> None:
    """Raise UserError where no pair is left, or more of them are too long than may be left out."""
    reasons = " and ".join(f"{n} {reason}" for reason, n in made.left_out.items())
    if not len(made):
        raise UserError(
            f"none of {count} pairs can be trained on ({reasons or 'there is none'})",
            where=where,
            hint=f"a text may have {limit:,} tokens, the longest has {made.longest:,}" if limit else "give other pairs",
        )
    if made.left_out[TOO_LONG] > max_left_out * count:
        raise UserError(
            f"{made.left_out[TOO_LONG]} of {count} pairs would be left out as too long: a text may have {limit:,} "
            f"tokens, the longest has {made.longest:,}",
            where=where,
            hint="raise trl.max_length, set `truncate: true` to train on cut texts, or raise max_left_out",
        )
