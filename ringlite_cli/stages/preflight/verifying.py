"""What verifies a stage's responses: the sandbox's isolation, ROUGE's package, a judge's address, a reward
model's files.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ringlite_cli.errors import UserError
from ringlite_cli.problems import DOMAINS, Problem, route
from ringlite_cli.recipe.graph import parents
from ringlite_cli.recipe.schema import CurateStage, RlStage, SelectStage
from ringlite_cli.recipe.scoring import ROUTE, trained_scorer
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.parts.games import require_games
from ringlite_cli.stages.preflight.asked_models import address_answers, not_here
from ringlite_cli.stages.preflight.made_sets import made_set

_RUN = ("code", "logic-gym")
"""Routes whose verifier runs programs."""


def set_can_be_verified(context: Context) -> Iterator[Finding]:
    """Check what verifies the responses to the set of problems that an RL or a select stage asks."""
    from ringlite_cli.train.rl.composed import Composer

    section: RlStage | SelectStage = context.section
    problems = made_set(context, section.data)
    if problems is None:
        routes = _routes_of_recipe(context, section)
    else:
        composer = Composer(context.recipe.rewards if _composes(section) else None)
        routes = {route(problem) for problem in composer.asked(problems)}
        yield from _games_are_there(problems)
    yield from routes_are_open(context, routes)


def held_out_can_be_scored(context: Context) -> Iterator[Finding]:
    """Check that a set of the guard's holds something out, and what verifies the responses to it."""
    from ringlite_cli.train.rl.held_out import fresh

    section: RlStage = context.section
    if section.guard is None or section.guard.held_out is None:
        return
    problems = made_set(context, section.guard.held_out.data)
    if problems is None:
        return
    try:
        asked, _said = fresh(problems, made_set(context, section.data) or [])
    except UserError as error:
        yield Finding(f"stages.{context.name}.{error.where}", error.what, error.hint)
        return
    yield from routes_are_open(context, {route(problem) for problem in asked})


def _games_are_there(problems: Sequence[Problem]) -> Iterator[Finding]:
    """Check that reasoning-gym is here, has the scorers of these problems, and may run them."""
    try:
        require_games(problems)
    except UserError as error:
        yield Finding(error.where, error.what, error.hint, of_machine=True)


def _composes(section: RlStage | SelectStage) -> bool:
    return isinstance(section, RlStage) or section.rl_probe is not None


def _routes_of_recipe(context: Context, section: RlStage | SelectStage) -> set[str]:
    """The verifiers that the recipe names for a set that is not made yet: as far as it names any."""
    stage, _, name = section.data.partition(".")
    curate = context.recipe.stages.get(stage)
    wanted = curate.sets.get(name) if isinstance(curate, CurateStage) else None
    if not isinstance(curate, CurateStage) or wanted is None:
        return set()
    parts = {*(wanted.rows or {}), *(wanted.mix or {}), *(getattr(section, "domain_mix", None) or {})}
    named = {source.route for source in curate.sources if source.route and wanted.split in source.splits}
    weights = context.recipe.rewards.weights if _composes(section) else {}
    return routes_of_domains(parts) | named | {name for part in parts for name in weights.get(part, ())}


def routes_of_domains(domains: Collection[str]) -> set[str]:
    """Return the verifiers that problems of these domains have by themselves."""
    return {route(Problem("", domain, "")) for domain in domains if domain in DOMAINS}


def routes_are_open(context: Context, routes: Collection[str]) -> Iterator[Finding]:
    """Check what these verifiers need of the machine and of the recipe's `rewards`."""
    rewards = context.recipe.rewards
    if any(name in routes for name in _RUN):
        from ringlite_cli.sandbox.pool import require_isolation

        try:
            require_isolation(rewards.isolation)
        except UserError as error:
            yield Finding("rewards.isolation", error.what, error.hint, of_machine=True)
    if "rouge" in routes:
        from ringlite_cli.rewards.references import require_rouge

        try:
            require_rouge()
        except UserError as error:
            yield Finding("rewards", error.what, error.hint, of_machine=True)
    if "judge" in routes and not (rewards.judge_url and rewards.judge_model):
        yield Finding("rewards.judge_url", "problems ask for the verifier `judge`", "give judge_url and judge_model")
    elif "judge" in routes:
        yield from address_answers("rewards.judge_url", rewards.judge_url)
    if "reward-model" in routes:
        yield from _reward_model(context)


def _reward_model(context: Context) -> Iterator[Finding]:
    """Check the files of a reward model, where they are on this machine; a stage's is made when it is needed."""
    key, name = "rewards.reward_model", context.recipe.rewards.reward_model
    if not name:
        hint = "give a stage that trains one, or the folder or hub id of one"
        yield Finding(key, "problems ask for the verifier `reward-model`", hint)
        return
    if scorer := trained_scorer(context.recipe):
        if scorer not in parents(context.recipe, context.name) and context.section.kind != "curate":
            what = f"problems ask for the verifier `reward-model`, and {context.name} does not run after {scorer}"
            yield Finding(key, what, f"name it in the set's sources (verifier: {ROUTE}), or give a folder here")
        return
    folder = Path(name).expanduser()
    if not folder.is_dir():
        yield from not_here(key, name)
        return
    from ringlite_cli.chat.judged import TEMPLATE_HINT, template_fault
    from ringlite_cli.models.reward_model import reward_model_faults, tokenizer_of

    found = list(reward_model_faults(folder))
    yield from (Finding(key, what, hint) for what, hint in found)
    if found:
        return
    tokenizer = tokenizer_of(str(folder))
    if not tokenizer.chat_template:
        what = f"the tokenizer of {folder} has no chat template: prompt and response stand line by line"
        yield Finding(key, what, "see that it was trained so", fatal=False)
    elif fault := template_fault(tokenizer):
        yield Finding(key, f"{folder}: {fault}", TEMPLATE_HINT)
