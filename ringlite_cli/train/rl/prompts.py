"""Which prompts a rollout asks: drawn by domain ratio, each domain in its own seeded order, the same after a resume."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, Protocol

from ringlite_cli.errors import UserError
from ringlite_cli.own_code import is_own, load
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.where import labels_there, parts

FLOOR = 0.05
"""Weight of a prompt whose groups are all alike, where one of pass rate 1/2 has 1."""


class PromptSource(Protocol):
    """Where a trainer gets prompts during a run. Equal calls give equal prompts, on all ranks and after a resume.

    draws_all: whether it gives every prompt of a rollout, or only those that refill one.
    """

    draws_all: bool

    def draw(self, count: int) -> list[dict[str, Any]]: ...

    def note(self, ids: Sequence[str], rewards: Sequence[Sequence[float | None]]) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


def own_source(name: str, **given: Any) -> PromptSource:
    """Make a prompt source of the user's own: `module:object` is called with problems, row, mix and seed.

    row: a function that makes the trainer's row of a problem. Raises UserError where what it gives is no PromptSource.
    """
    source: PromptSource = load(name, calls=True)(**given)
    lacking = [part for part in ("draw", "note", "state", "restore") if not callable(getattr(source, part, None))]
    if lacking:
        raise UserError(
            f"the object that {name!r} returns has no method {lacking[0]}()",
            where="sampling",
            hint="write the methods of ringlite_cli.train.rl.prompts.PromptSource",
        )
    if not hasattr(source, "draws_all"):
        source.draws_all = True
    return source


def drawn(source: PromptSource, count: int) -> list[dict[str, Any]]:
    """Draw `count` prompts. Raises UserError where the source gives another number."""
    rows = list(source.draw(count))
    if len(rows) != count:
        raise UserError(
            f"the prompt source gave {len(rows)} prompts where {count} were asked for",
            where="sampling",
            hint="have draw(count) return as many rows as it is asked for",
        )
    return rows


class DatasetSource:
    """Draws the rows of a data set in their order, pass after pass."""

    draws_all = True

    def __init__(self, rows: Any) -> None:
        """rows: a data set with a length."""
        self._rows, self._place = rows, 0

    def draw(self, count: int) -> list[dict[str, Any]]:
        places = [(self._place + i) % len(self._rows) for i in range(count)]
        self._place += count
        return [dict(self._rows[place]) for place in places]

    def note(self, ids: Sequence[str], rewards: Sequence[Sequence[float | None]]) -> None:
        """Learn nothing."""

    def state(self) -> dict[str, Any]:
        return {"place": self._place}

    def restore(self, state: dict[str, Any]) -> None:
        self._place = int(state["place"])


class EndlessSource:
    """Draws what `draw_prompts` draws, rollout after rollout without an end."""

    draws_all = True

    def __init__(
        self,
        problems: Sequence[Problem],
        row: Callable[[Problem], dict[str, Any]],
        mix: Mapping[str, float] | None,
        seed: int,
        *,
        per_rollout: int,
    ) -> None:
        self._stream = endless_prompts(problems, per_rollout, mix, seed)
        self._row, self._place = row, 0

    def draw(self, count: int) -> list[dict[str, Any]]:
        self._place += count
        return [self._row(problem) for problem in islice(self._stream, count)]

    def note(self, ids: Sequence[str], rewards: Sequence[Sequence[float | None]]) -> None:
        """Learn nothing."""

    def state(self) -> dict[str, Any]:
        return {"place": self._place}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a place of an earlier source; this one must not have drawn yet."""
        self._place = int(state["place"])
        next(islice(self._stream, self._place, self._place), None)


class DifficultySource:
    """Draws prompts by domain ratio and, inside a domain, by how far their groups are likely to differ.

    A prompt of pass rate p weighs 4 p (1 - p), and FLOOR at least. p starts at its label `pass_rate` (1/2 without
    one) and follows the pass rates of its groups. A prompt whose group was all right rests for `rest` draws.
    Labels drive dynamic sampling in Ring-lite-2507's announcement; this rule is ours.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        row: Callable[[Problem], dict[str, Any]],
        mix: Mapping[str, float] | None,
        seed: int,
        *,
        draws_all: bool = True,
        rest: int = 8,
        memory: float = 0.5,
    ) -> None:
        self.draws_all = draws_all
        self._problems = {problem.id: problem for problem in problems}
        self._row, self._seed, self._rest, self._memory = row, seed, rest, memory
        self._shares, self._pools = _shares_and_pools(problems, mix)
        self._given = dict.fromkeys(self._shares, 0)
        self._rates = {p.id: _labelled_rate(p) for p in problems}
        self._resting: dict[str, int] = {}  # prompt -> the draw from which it may come again
        self._draws = 0

    def draw(self, count: int) -> list[dict[str, Any]]:
        """Draw rows of `count` prompts, no prompt twice while its domain has others."""
        self._draws += 1
        rng = random.Random(f"{self._seed}-{self._draws}")
        owed = _owed(self._shares, self._given, sum(self._given.values()) + count, count)
        drawn: list[Problem] = []
        for domain in self._shares:
            wanted = owed.count(domain)
            self._given[domain] += wanted
            drawn += self._draw_from(self._pools[domain], wanted, rng)
        rng.shuffle(drawn)
        return [self._row(problem) for problem in drawn]

    def _draw_from(self, pool: Sequence[Problem], count: int, rng: random.Random) -> list[Problem]:
        """Draw by weight, without putting back until the pool is empty; resting prompts only if no other is left."""
        drawn: list[Problem] = []
        while len(drawn) < count:
            keys = {p.id: rng.random() ** (1 / self._weight(p.id)) for p in pool}
            awake = [p for p in pool if self._resting.get(p.id, 0) <= self._draws]
            asleep = [p for p in pool if self._resting.get(p.id, 0) > self._draws]
            order = [p for part in (awake, asleep) for p in sorted(part, key=lambda p: -keys[p.id])]
            drawn += order[: count - len(drawn)]
        return drawn

    def _weight(self, name: str) -> float:
        rate = self._rates[name]
        return max(FLOOR, 4 * rate * (1 - rate))

    def note(self, ids: Sequence[str], rewards: Sequence[Sequence[float | None]]) -> None:
        """Learn from a rollout: the rewards of each prompt's group (None: no verdict)."""
        for name, group in zip(ids, rewards, strict=True):
            scored = [reward for reward in group if reward is not None]
            if not scored or name not in self._rates:
                continue
            rate = sum(scored) / len(scored)
            self._rates[name] = self._memory * self._rates[name] + (1 - self._memory) * rate
            if rate >= 1.0:
                self._resting[name] = self._draws + 1 + self._rest

    def state(self) -> dict[str, Any]:
        return {"draws": self._draws, "given": self._given, "rates": self._rates, "resting": self._resting}

    def restore(self, state: dict[str, Any]) -> None:
        self._draws = int(state["draws"])
        self._given = dict(state["given"])
        self._rates |= state["rates"]
        self._resting = dict(state["resting"])


def _labelled_rate(problem: Problem) -> float:
    rate = problem.labels.get("pass_rate")
    return min(1.0, max(0.0, float(rate))) if isinstance(rate, int | float) else 0.5


def source_of(
    settings: RlSettings, problems: Sequence[Problem], row: Callable[[Problem], dict[str, Any]], seed: int
) -> PromptSource | None:
    """Return the source of prompts that the trainer draws itself: by difficulty, the user's own, or to refill."""
    mix = settings.domain_mix
    if is_own(settings.sampling):
        return own_source(settings.sampling, problems=problems, row=row, mix=mix, seed=seed)
    draws_all = settings.sampling == "difficulty"
    if settings.pools and not draws_all:
        per_rollout = settings.prompts_per_step * settings.updates_per_rollout
        return EndlessSource(problems, row, mix, seed, per_rollout=per_rollout)
    if not draws_all and settings.undershoot != "refill":
        return None
    return DifficultySource(problems, row, mix, seed, draws_all=draws_all, rest=settings.rest_rollouts)


def draw_prompts(
    problems: Sequence[Problem], per_rollout: int, rollouts: int, mix: Mapping[str, float] | None, seed: int
) -> list[Problem]:
    """Draw `per_rollout` problems for each of `rollouts` rollouts, one rollout after the other.

    mix: share of a rollout's prompts per domain (normalised); None draws from all problems alike. Fractions are
    carried over, so that the shares hold over any stretch of rollouts to within one prompt. A domain's problems are
    all used before one comes again. Raises UserError for a domain without problems.
    """
    return list(islice(endless_prompts(problems, per_rollout, mix, seed), rollouts * per_rollout))


def endless_prompts(
    problems: Sequence[Problem], per_rollout: int, mix: Mapping[str, float] | None, seed: int
) -> Iterator[Problem]:
    """Yield what `draw_prompts` returns, without an end. Raises UserError at once for a domain without problems."""
    check_mix(problems, mix)
    return _endless_prompts(problems, per_rollout, mix, seed)


def _endless_prompts(
    problems: Sequence[Problem], per_rollout: int, mix: Mapping[str, float] | None, seed: int
) -> Iterator[Problem]:
    shares, pools = _shares_and_pools(problems, mix)
    streams = {domain: _endless(pool, random.Random(f"{seed}-{domain}")) for domain, pool in pools.items()}
    order = random.Random(seed)
    given = dict.fromkeys(shares, 0)
    for rollout in count(1):
        batch: list[Problem] = []
        for domain in _owed(shares, given, rollout * per_rollout, per_rollout):
            batch.append(next(streams[domain]))
            given[domain] += 1
        order.shuffle(batch)
        yield from batch


def check_mix(problems: Sequence[Problem], mix: Mapping[str, float] | None) -> None:
    """Raise UserError where a part of the mix has no problem."""
    _shares_and_pools(problems, mix)


def _shares_and_pools(
    problems: Sequence[Problem], mix: Mapping[str, float] | None
) -> tuple[dict[str, float], dict[str, list[Problem]]]:
    """Share and problems of each part of the mix, a domain or a label's value; one nameless part without a mix."""
    pools: dict[str, list[Problem]] = {"": list(problems)}
    shares = {"": 1.0}
    if mix:
        shares = {domain: share / sum(mix.values()) for domain, share in sorted(mix.items()) if share > 0}
        pools = parts(problems, [name for name in mix if name in shares])
    for domain, pool in pools.items():
        if not pool:
            raise UserError(
                f"no problem of {'' if '=' in domain else 'domain '}{domain!r} in the data"
                if domain
                else "no problems in the data",
                where="domain_mix" if domain else "data",
                hint=labels_there(problems)
                if "=" in domain
                else f"its domains are {', '.join(sorted({p.domain for p in problems})) or 'none'}",
            )
    return shares, pools


def _owed(shares: Mapping[str, float], given: Mapping[str, int], total: int, count: int) -> list[str]:
    """Return the domains of the next `count` prompts: each the one furthest behind its share of `total`."""
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
