"""Which problems of `guard.held_out` a run asks: none that it trains on, and none whose score is an opinion."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, route
from ringlite_cli.recipe.composition import OPEN_ENDED
from ringlite_cli.recipe.guard import HeldOut
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.runs.ranks import is_follower
from ringlite_cli.runs.sharding import launched_sharded
from ringlite_cli.train.guard.gap import Paired

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldOutSet:
    """Problems that a run is measured by. paired: compares two measurements. every: optimizer steps between them."""

    problems: Sequence[Problem]
    paired: Paired
    every: int = 1

    @property
    def digest(self) -> str:
        """Return what tells these problems, in their order, from others."""
        return sha256("\0".join(f"{p.id}\0{p.prompt}\0{p.answer}" for p in self.problems).encode()).hexdigest()[:16]


def held_out_of(
    given: HeldOutSet | None,
    trained: Sequence[Problem],
    settings: RlSettings,
    seed: int,
    room: Callable[[Sequence[Problem]], Sequence[Problem]],
) -> HeldOutSet | None:
    """Return what the run asks of a set; None where the guard has nothing held out.

    room: leaves out problems that are too long. Raises UserError where none remains, or where the run can't ask any.
    """
    guard = settings.guard
    if given is None or guard is None or guard.held_out is None:
        return None
    if launched_sharded():
        raise UserError(
            "held-out problems are answered by the trainer's own model, which FSDP shares out over the ranks",
            where="guard.held_out",
            hint="leave it out, or run without FSDP",
        )
    asked = room(chosen(given.problems, trained, guard.held_out, seed))
    return replace(given, problems=asked, every=guard.held_out.every)


def chosen(problems: Sequence[Problem], trained: Sequence[Problem], settings: HeldOut, seed: int) -> list[Problem]:
    """Return the problems that are asked, in the set's order; warn of those left out. Raises UserError as `fresh`."""
    sound, said = fresh(problems, trained)
    if said and not is_follower():
        log.warning("held out: of %d problems %s; they are left out", len(problems), said)
    places = random.Random(f"{seed}-held-out").sample(range(len(sound)), min(settings.problems, len(sound)))
    return [sound[place] for place in sorted(places)]


def fresh(problems: Sequence[Problem], trained: Sequence[Problem]) -> tuple[list[Problem], str]:
    """Return the problems that are not trained on and whose answers are verified, and what is wrong with the others.

    Raises UserError where none is left.
    """
    known = {problem.id for problem in trained} | {_text(problem) for problem in trained}
    others = [p for p in problems if p.id not in known and _text(p) not in known]
    sound = [problem for problem in others if route(problem) not in OPEN_ENDED]
    counts = {"are trained on": len(problems) - len(others), "are scored by an opinion": len(others) - len(sound)}
    said = " and ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    if not sound:
        raise UserError(
            f"nothing is held out: of the set's {len(problems):,} problems {said}",
            where="guard.held_out.data",
            hint="name a set without the stage's own problems, whose answers are verified, as curate.eval",
        )
    return sound, said


def _text(problem: Problem) -> str:
    return " ".join(problem.prompt.casefold().split())
