"""`ringlite experiment`: every arm on every seed by the one pipeline, then one page that compares them.

A stage that two arms of a seed have in common (curation and SFT, mostly) is worked once and taken over by the others,
also from other experiments in the same folder: the pipeline's fingerprint says what is the same work.
"""

from collections.abc import Sequence
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors, WorkFailed
from ringlite_cli.recipe.experiment import ExperimentFile, load_experiment, needed_stages
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.deadline import stop_within
from ringlite_cli.runs.files import write_json, write_text
from ringlite_cli.stages.check import load_checked
from ringlite_cli.stages.pipeline import Walk, run_pipeline

JSON, TABLES, PAGE = "comparison.json", "comparison.md", "comparison.html"


def run_experiment(
    name: str,
    runs_dir: Path,
    console: Console,
    *,
    changes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    max_hours: float | None = None,
) -> Path:
    """Runs an experiment and returns its comparison page, `runs_dir/<experiment>/comparison.html`.

    changes: KEY=VALUE of the recipe, for every arm. seeds: instead of the file's. An arm that fails loses the others
    nothing: they go on, the page says what failed, and WorkFailed comes at the end. What is done is not done again.
    Raises RecipeErrors before any work where an arm's recipe is wrong; Interrupted as a run does.
    """
    file = load_experiment(name)
    experiment, folder = file.experiment, runs_dir / file.experiment.name
    chosen = list(dict.fromkeys(seeds)) or experiment.seeds
    recipes = {(arm, seed): _recipe(file, arm, seed, changes) for seed in chosen for arm in experiment.arms}
    failed: dict[tuple[str, int], str] = {}
    with stop_within(max_hours):
        for number, ((arm, seed), recipe) in enumerate(recipes.items(), 1):
            console.head(f"{experiment.name} {number}/{len(recipes)}: arm {arm}, seed {seed}")
            run = arm_folder(folder, arm, seed)
            donors = [other for other in sorted(runs_dir.glob(f"*/*/seed-{seed}")) if other != run]
            try:
                run_pipeline(recipe, run, Walk(needed_stages(recipe), donors=donors), console)
            except WorkFailed as error:
                failed[arm, seed] = str(error)
                console.error(f"arm {arm}, seed {seed}: {error}")
    page = compare_experiment(file, folder, chosen, failed)
    if failed:
        raise WorkFailed(f"{len(failed)} of {len(recipes)} runs failed; the page compares the others", where=str(page))
    return page


def arm_folder(folder: Path, arm: str, seed: int) -> Path:
    return folder / arm / f"seed-{seed}"


def compare_experiment(
    file: ExperimentFile, folder: Path, seeds: Sequence[int], failed: dict[tuple[str, int], str]
) -> Path:
    """Writes comparison.json, .md and .html of the runs that did not fail."""
    from ringlite_cli.evals.arms import as_markdown, compare_arms
    from ringlite_cli.report.arms import render_comparison

    experiment = file.experiment
    runs = {
        arm: {seed: arm_folder(folder, arm, seed) for seed in seeds if (arm, seed) not in failed}
        for arm in experiment.arms
    }
    comparison = {
        "experiment": experiment.name,
        "question": experiment.question,
        "recipe": experiment.recipe,
        "seeds": list(seeds),
        "arms": {arm: {**experiment.set, **keys} for arm, keys in experiment.arms.items()},
        "failed": [{"arm": arm, "seed": seed, "why": why} for (arm, seed), why in failed.items()],
        **compare_arms(runs),
    }
    write_json(folder / JSON, comparison)
    write_text(folder / TABLES, as_markdown(comparison))
    write_text(folder / PAGE, render_comparison(comparison))
    return folder / PAGE


def _recipe(file: ExperimentFile, arm: str, seed: int, changes: Sequence[str]) -> Recipe:
    try:
        recipe = load_checked(file.recipe, file.experiment.overrides(arm, seed, changes))
        needed_stages(recipe)
    except RecipeErrors as error:
        raise RecipeErrors([f"{file.path}: arm {arm}: {fault}" for fault in error.faults]) from None
    return recipe
