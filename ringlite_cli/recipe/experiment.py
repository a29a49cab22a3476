"""An experiment: one recipe, arms that differ from it in a few keys, several seeds. The first arm is the baseline."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.recipe.fault_messages import fault_messages
from ringlite_cli.recipe.graph import parents, run_order
from ringlite_cli.recipe.key_classes import operational
from ringlite_cli.recipe.load import find_file, read_yaml, shipped_experiments, shipped_recipes
from ringlite_cli.recipe.places import Places
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.recipe.section import Section

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Experiment(Section):
    """What an experiment file says. `set` and each arm: dotted key of the recipe -> value, as `--set` takes them."""

    name: Name = operational(description="the folder of its runs")
    question: str = operational("", description="shown on top of the comparison page")
    recipe: str = operational(
        description="a recipe's file, beside this one or from the working folder, or a shipped name"
    )
    set: dict[str, Any] = operational({}, description="changes of the recipe for every arm")
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = operational(
        min_length=1, description="every arm is run on each"
    )
    arms: dict[Name, dict[str, Any]] = operational(
        min_length=2, description="the first is what the others are compared with"
    )

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds

    @model_validator(mode="after")
    def _own_keys(self) -> "Experiment":
        for where, changes in [("set", self.set), *((f"arms.{arm}", keys) for arm, keys in self.arms.items())]:
            for key in sorted({"seed", "name"} & changes.keys()):
                raise ValueError(f"{where} changes {key!r}, which the experiment decides; remove it")
        return self

    def overrides(self, arm: str, seed: int, more: Sequence[str] = ()) -> list[str]:
        """KEY=VALUE changes that make the recipe of one arm and seed; `more` come before the arm's own."""
        ours = {"seed": seed, "name": f"{self.name}.{arm}.seed-{seed}"}
        return [*_pairs(self.set), *more, *_pairs(self.arms[arm]), *_pairs(ours)]


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment with the file that it stands in and its recipe's path or shipped name."""

    path: Path
    experiment: Experiment
    recipe: str


def load_experiment(name: str) -> ExperimentFile:
    """Read an experiment: a path, or a shipped one's name. Raises RecipeErrors with all faults of the file."""
    recipe = UserError("this is a recipe, not an experiment", where=name, hint=f"`ringlite run {name}` runs it")
    if not Path(name).exists() and name not in shipped_experiments() and name in shipped_recipes():
        raise recipe
    path = find_file(name, shipped_experiments(), "experiment")
    data = read_yaml(path)
    if isinstance(data.get("stages"), dict) and "arms" not in data:
        raise recipe
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        places = Places(path)
        faults = fault_messages(error.errors(), Experiment)
        raise RecipeErrors([f"{places.of(fault)}: {fault}" for fault in faults]) from None
    beside = path.parent / experiment.recipe
    return ExperimentFile(path, experiment, str(beside) if beside.is_file() else experiment.recipe)


def needed_stages(recipe: Recipe) -> list[str]:
    """The eval stages and all that they need, in run order: what an arm walks. Raises RecipeErrors without any eval."""
    wanted = [name for name, section in recipe.stages.items() if section.kind == "eval"]
    if not wanted:
        raise RecipeErrors([f"{recipe.name}: an experiment compares scores, and the recipe has no eval stage"])
    for name in wanted:  # grows while it is walked
        wanted += [parent for parent in parents(recipe, name) if parent not in wanted]
    return [name for name in run_order(recipe) if name in wanted]


def _pairs(changes: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]
