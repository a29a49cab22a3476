"""Which tokens an optimizer step trains: the selection Psi of Eq. 2 and 3, in plain integers.

How this differs from the paper: Eq. 2 asks for |Psi| = Phi, Eq. 3 and the text let the last response run over.
`cut` picks: "exact" truncates the last response (Figure 3), "whole" keeps it. The order is a seeded shuffle of the
responses, because arrival order would favour short ones and prompt order would never train late prompts.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ringlite_cli.recipe.c3po import Cut


@dataclass(frozen=True, slots=True, order=True)
class Pick:
    """The first `tokens` trained tokens of response `index`."""

    index: int
    tokens: int


def pick_tokens(lengths: Sequence[int], budget: int, order: Sequence[int], cut: Cut = "exact") -> list[Pick]:
    """Fill the token budget Phi greedily with responses in the given order.

    lengths: trained tokens of each response. order: indices that may be picked, first come first served.
    With cut "exact" the picked tokens sum to min(budget, all tokens in order), and at most one response is cut;
    with "whole" no response is cut, and the last one may run over the budget.

    >>> pick_tokens([5, 9, 4], budget=12, order=[2, 0, 1])
    [Pick(index=2, tokens=4), Pick(index=0, tokens=5), Pick(index=1, tokens=3)]
    """
    return pick_updates(lengths, budget, order, updates=1, cut=cut)[0]


def pick_updates(
    lengths: Sequence[int], budget: int, order: Sequence[int], updates: int, cut: Cut = "exact"
) -> list[list[Pick]]:
    """Disjoint selections for several updates from one order; the tail of a cut response is dropped, not carried on."""
    if budget <= 0:
        raise ValueError(f"token budget must be positive, not {budget}")
    walk = iter(order)
    selections: list[list[Pick]] = []
    for _ in range(updates):
        picks: list[Pick] = []
        left = budget
        while left > 0 and (index := next(walk, None)) is not None:
            tokens = min(lengths[index], left) if cut == "exact" else lengths[index]
            if tokens:
                picks.append(Pick(index, tokens))
                left -= tokens
        selections.append(picks)
    return selections


def seeded_order(candidates: Sequence[int], seed: int, step: int) -> list[int]:
    """A shuffle that depends on (seed, step) alone: the same on every rank and after a resume."""
    order = list(candidates)
    random.Random(seed * 1_000_003 + step).shuffle(order)
    return order


def informative_groups(rewards: Sequence[float | None], num_generations: int) -> list[bool]:
    """Return for each group of `num_generations` consecutive rewards whether two of its scored responses differ.

    None is a response without a verdict. Equality is exact: a group of equal rewards has no advantage at all.
    """
    groups = (rewards[i : i + num_generations] for i in range(0, len(rewards), num_generations))
    return [len({reward for reward in rewards_of if reward is not None}) > 1 for rewards_of in groups]
