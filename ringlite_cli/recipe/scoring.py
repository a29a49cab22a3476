"""Which stages are rewarded by a reward model that another stage of the recipe trains: they run after it."""

from collections.abc import Iterator, Mapping
from typing import Any

from ringlite_cli.problems import DOMAINS
from ringlite_cli.recipe.composition import COMPOSING
from ringlite_cli.recipe.reward_model import RewardModelStage
from ringlite_cli.recipe.schema import CurateStage, EvalStage, Recipe, RlStage, SelectStage, Source

ROUTE = "reward-model"
"""The verifier that asks for a reward model; and the name of a stage's output that is one."""
OUTPUT = "reward_model"
_TOLD_BY_ROWS = ("problems", "chat")  # adapters whose rows may name a verifier each


def trained_scorer(recipe: Recipe) -> str | None:
    """Return the stage that `rewards.reward_model` names; None where it names none, or one of another kind."""
    rewards = getattr(recipe, "rewards", None)  # of a recipe with faults, it may not be there
    name = getattr(rewards, "reward_model", None)
    return name if isinstance(recipe.stages.get(name or ""), RewardModelStage) else None


def scoring_stage(recipe: Recipe, name: str, needs: Mapping[str, list[str]]) -> str | None:
    """Return the stage whose reward model verifies responses of a stage; None where none does.

    needs: stage -> those that it reads by its own keys. A set whose rows may name the verifier each counts where that
    makes no circle.
    """
    scorer = trained_scorer(recipe)
    if scorer is None or scorer == name:
        return None
    certain, possible = _verified_sets(recipe, name)
    return scorer if certain or (possible and name not in _above(scorer, needs)) else None


def asks_reward_model(recipe: Recipe, name: str) -> bool:
    """Return whether a stage verifies responses to a set that has rows for a reward model, or may have some."""
    return any(_verified_sets(recipe, name))


def _above(name: str, needs: Mapping[str, list[str]]) -> set[str]:
    found, waiting = set[str](), [name]
    while waiting:
        new = set(needs.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def _verified_sets(recipe: Recipe, name: str) -> tuple[bool, bool]:
    """Whether a set that a stage verifies responses to has rows for a reward model; and whether it may have some."""
    certain = possible = False
    for reference in _sets(recipe.stages[name]):
        stage, _, artifact = reference.partition(".")
        curate = recipe.stages.get(stage)
        wanted = curate.sets.get(artifact) if isinstance(curate, CurateStage) and curate.sets else None
        if not isinstance(curate, CurateStage) or wanted is None:
            continue
        parts = {**(wanted.rows or {}), **(wanted.mix or {})}
        for domain in _weighted(recipe, name):
            certain |= domain in parts
            possible |= not parts or any(part not in DOMAINS for part in parts)
        for source in curate.sources:
            if wanted.split not in source.splits or not _is_taken(source, parts):
                continue
            certain |= source.verifier == ROUTE
            told = source.adapter in _TOLD_BY_ROWS or "verifier" in (source.columns or {})
            possible |= told and source.verifier is None
    return certain, possible


def _weighted(recipe: Recipe, name: str) -> list[str]:
    """The domains whose rewards `rewards.weights` takes from a reward model, for a stage that composes rewards."""
    weights = recipe.rewards.weights if recipe.stages[name].kind in COMPOSING else {}
    return [domain for domain, each in weights.items() if each.get(ROUTE)]


def _sets(stage: Any) -> Iterator[str]:
    """The sets to whose problems a stage has responses verified; of a stage with faults, what can be read."""
    named: list[Any] = []
    if isinstance(stage, RlStage):
        named = [stage.data]
    elif isinstance(stage, SelectStage):
        named = [stage.data, getattr(stage.rl_probe, "data", None)]
    elif isinstance(stage, EvalStage):
        named = list(stage.tasks or ())
    elif isinstance(stage, RewardModelStage) and stage.pairs and stage.pairs.rule == "verifier":
        named = [stage.pairs.data]
    yield from (each for each in named if isinstance(each, str) and "." in each)


def _is_taken(source: Source, parts: Mapping[str, Any]) -> bool:
    """Whether rows of a source come into a set that asks for these domains or labels; all do where it asks for none."""
    domains = [part for part in parts if part in DOMAINS]
    return not source.domain or source.domain in domains or len(domains) < len(parts) or not parts
