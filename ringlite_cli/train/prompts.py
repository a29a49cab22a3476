"""Which prompts a rollout asks: drawn by domain ratio, each domain in its own seeded order, the same after a resume."""

import random
from collections.abc import Iterator, Mapping, Sequence

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem


def draw_prompts(
    problems: Sequence[Problem], per_rollout: int, rollouts: int, mix: Mapping[str, float] | None, seed: int
) -> list[Problem]:
    """per_rollout problems for each of so many rollouts, one after the other.

    mix: share of a rollout's prompts per domain (normalised); None draws from all problems alike. Fractions are
    carried over, so that the shares hold over any stretch of rollouts to within one prompt. A domain's problems are
    all used before one comes again. Raises UserError for a domain without problems.
    """
    pools: dict[str, list[Problem]] = {"": list(problems)}
    shares = {"": 1.0}
    if mix:
        shares = {domain: share / sum(mix.values()) for domain, share in sorted(mix.items()) if share > 0}
        pools = {domain: [p for p in problems if p.domain == domain] for domain in shares}
    for domain, pool in pools.items():
        if not pool:
            raise UserError(
                f"no problem of domain {domain!r} in the data" if domain else "no problems in the data",
                where="domain_mix" if domain else "data",
                hint=f"its domains are {', '.join(sorted({p.domain for p in problems})) or 'none'}",
            )
    streams = {domain: _endless(pool, random.Random(f"{seed}-{domain}")) for domain, pool in pools.items()}
    order = random.Random(seed)
    drawn: list[Problem] = []
    given = dict.fromkeys(shares, 0)
    for rollout in range(1, rollouts + 1):
        batch: list[Problem] = []
        for domain in _owed(shares, given, rollout * per_rollout, per_rollout):
            batch.append(next(streams[domain]))
            given[domain] += 1
        order.shuffle(batch)
        drawn += batch
    return drawn


def _owed(shares: Mapping[str, float], given: Mapping[str, int], total: int, count: int) -> list[str]:
    """The domains of the next `count` prompts: each goes to the domain that is furthest behind its share of `total`."""
    behind = {domain: share * total - given[domain] for domain, share in shares.items()}
    owed = []
    for _ in range(count):
        domain = max(behind, key=lambda d: (behind[d], d))
        behind[domain] -= 1
        owed.append(domain)
    return owed


def _endless(pool: Sequence[Problem], rng: random.Random) -> Iterator[Problem]:
    """Pass after pass over the pool, each in a new order."""
    while True:
        order = list(pool)
        rng.shuffle(order)
        yield from order
