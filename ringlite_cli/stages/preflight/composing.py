"""Whether the weights of `rewards` meet the rows of RL's sets: domains that no row has, verifiers that score none."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ringlite_cli.errors import UserError, near
from ringlite_cli.problems import ANSWERLESS, Problem, can_score, route
from ringlite_cli.recipe.schema import CurateStage, RlStage
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.preflight.made_sets import made_set
from ringlite_cli.where import matches


def weights_meet_the_rows(context: Context) -> Iterator[Finding]:
    """Check that the recipe's weights and an RL stage's rows have domains, verifiers and pay in common."""
    from ringlite_cli.train.rl.composed import Composer, check_paid

    section: RlStage = context.section
    weights = context.recipe.rewards.weights
    if not weights:
        return
    yield from _no_rows(context)
    problems = [p for p in made_set(context, section.data) or () if matches(p, section.where)]
    for domain, named in weights.items():
        rows = [problem for problem in problems if problem.domain == domain]
        for name in named if rows else ():
            yield from _scores_none(context, domain, name, rows)
    try:
        check_paid(Composer(context.recipe.rewards), problems)
    except UserError as error:
        yield Finding(error.where or "rewards.weights", error.what, error.hint)


def _scores_none(context: Context, domain: str, name: str, rows: Sequence[Problem]) -> Iterator[Finding]:
    if any(route(problem) == name or can_score(name, problem) for problem in rows):
        return
    lacks = "tests" if name == "code" else "an answer that it reads"
    what = f"all {len(rows):,} rows of {domain} in {context.section.data} lack {lacks}"
    yield Finding(f"rewards.weights.{domain}.{name}", what, _instead(rows), fatal=False)


def _instead(rows: Sequence[Problem]) -> str:
    own = Counter(route(problem) for problem in rows).most_common(3)
    able = ", ".join(dict.fromkeys([*(name for name, _ in own), *(each for each in ANSWERLESS if each != "code")]))
    return f"verifiers that can score them are {able}"


def _no_rows(context: Context) -> Iterator[Finding]:
    """Warn, once for the recipe, of weights for a domain that no RL stage's set has; where all of them are known."""
    stages = {name: stage for name, stage in context.recipe.stages.items() if isinstance(stage, RlStage)}
    if context.name != next(iter(stages)):
        return
    known = [_domains(context, stage) for stage in stages.values()]
    there = {domain for each in known if each is not None for domain in each}
    if any(each is None for each in known):
        return
    for domain in context.recipe.rewards.weights:
        if domain not in there:
            hint = near(domain, there, f"their domains are {', '.join(sorted(there))}")
            yield Finding(f"rewards.weights.{domain}", "no row of an RL stage has this domain", hint, fatal=False)


def _domains(context: Context, section: RlStage) -> set[str] | None:
    """Return the domains of a stage's rows; None where they are not known before the set is made."""
    problems = made_set(context, section.data)
    if problems is not None:
        return {problem.domain for problem in problems if matches(problem, section.where)}
    stage, _, name = section.data.partition(".")
    curate = context.recipe.stages.get(stage)
    wanted = curate.sets.get(name) if isinstance(curate, CurateStage) else None
    parts = {*(wanted.rows or {}), *(wanted.mix or {})} if wanted else set()
    sources = (
        [s for s in curate.sources if wanted and wanted.split in s.splits] if isinstance(curate, CurateStage) else []
    )
    if parts and all("=" not in part for part in parts):
        return parts
    return (
        {source.domain for source in sources if source.domain} if all(s.domain for s in sources) and sources else None
    )
