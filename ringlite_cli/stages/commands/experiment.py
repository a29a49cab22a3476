"""`ringlite experiment`: every arm on every seed by the one pipeline, then one page that compares them.

A stage that two arms of a seed have in common (curation and SFT, mostly) is worked once and taken over by the others,
also from other experiments in the same folder: the pipeline's fingerprint says what is the same work. Seeds and arms
may be run by several processes, on several machines: `compare_finished` makes the one page of what they left.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors, UserError, WorkFailed
from ringlite_cli.recipe.experiment import ExperimentFile, load_experiment, needed_stages
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.deadline import stop_within
from ringlite_cli.runs.files import read_json, write_json, write_text
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.walk.decide import Walk
from ringlite_cli.stages.walk.pipeline import run_pipeline

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
    """Run an experiment and return its comparison page, `runs_dir/<experiment>/comparison.html`.

    changes: KEY=VALUE of the recipe, for every arm. seeds: instead of the file's. An arm that fails loses the others
    nothing: they go on, the page says what failed, and WorkFailed comes at the end. What is done is not done again.
    Raises RecipeErrors before any work where an arm's recipe is wrong; UserError on several ranks; Interrupted as run.
    """
    if (ranks := world_size()) > 1:
        hint = "start it without a launcher; its arms may be shared out by --seed, and --compare-only makes the page"
        raise UserError(f"an experiment runs in one process, not on {ranks} ranks", where=name, hint=hint)
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
    page = compare_experiment(file, folder, chosen, {run: f"failed: {why}" for run, why in failed.items()})
    if failed:
        raise WorkFailed(f"{len(failed)} of {len(recipes)} runs failed; the page compares the others", where=str(page))
    return page


def compare_finished(
    name: str, runs_dir: Path, console: Console, *, changes: Sequence[str] = (), seeds: Sequence[int] = ()
) -> Path:
    """The comparison page of the runs that lie below `runs_dir`, without any work; reads neither model nor data.

    seeds: by default all that any arm was run on. A run that is not finished, or that was made from another recipe
    than the experiment's with `changes`, is left out, and the page says so. Raises UserError where none is left.
    """
    file = load_experiment(name)
    experiment, folder = file.experiment, runs_dir / file.experiment.name
    chosen = list(dict.fromkeys(seeds)) or sorted(
        {int(found.name[5:]) for arm in experiment.arms for found in (folder / arm).glob("seed-*") if _is_seed(found)}
    )
    left_out = {}
    for arm, seed in [(arm, seed) for seed in chosen for arm in experiment.arms]:
        if why := _unfinished(_recipe(file, arm, seed, changes), arm_folder(folder, arm, seed)):
            left_out[arm, seed] = why
            console.warn(f"arm {arm}, seed {seed} is left out: {why}")
    if len(left_out) == len(chosen) * len(experiment.arms):
        hint = f"`ringlite experiment {name} --runs-dir {runs_dir}` runs it"
        raise UserError("no finished run of this experiment to compare", where=str(folder), hint=hint)
    return compare_experiment(file, folder, chosen, left_out)


def comparison_data(page: Path) -> dict[str, Any]:
    """Return what the page of an experiment shows, with its paths. page: as the functions above return it."""
    return {"page": str(page), "tables": str(page.with_name(TABLES)), "comparison": read_json(page.with_name(JSON))}


def _is_seed(folder: Path) -> bool:
    return folder.is_dir() and folder.name.removeprefix("seed-").isdecimal()


def _unfinished(recipe: Recipe, run: Path) -> str:
    """Return why a run can't be compared as one of this recipe; "" where it can."""
    for stage in needed_stages(recipe):
        manifest = read_manifest(run / stage)
        if manifest is None or manifest.status != "done":
            return f"{stage} is {manifest.status}" if manifest else f"{stage} has not been run"
        section = recipe.stages[stage].model_dump(mode="json")
        if other := [key for key, value in manifest.recipe.items() if section.get(key, value) != value]:
            keys = ", ".join(f"stages.{stage}.{key}" for key in other)
            return f"made with another {keys}; give the --set that it was run with"
    return ""


def arm_folder(folder: Path, arm: str, seed: int) -> Path:
    return folder / arm / f"seed-{seed}"


def compare_experiment(
    file: ExperimentFile, folder: Path, seeds: Sequence[int], left_out: dict[tuple[str, int], str]
) -> Path:
    """Write comparison.json, .md and .html of all runs but those left out: (arm, seed) -> why."""
    from ringlite_cli.evals.account import token_efficiency
    from ringlite_cli.evals.arms import as_markdown, compare_arms
    from ringlite_cli.report.arms import render_comparison

    experiment = file.experiment
    runs = {
        arm: {seed: arm_folder(folder, arm, seed) for seed in seeds if (arm, seed) not in left_out}
        for arm in experiment.arms
    }
    compared = {run for by_seed in runs.values() for run in by_seed.values()}
    comparison = {
        "experiment": experiment.name,
        "question": experiment.question,
        "recipe": experiment.recipe,
        "seeds": list(seeds),
        "arms": {arm: {**experiment.set, **keys} for arm, keys in experiment.arms.items()},
        "left_out": [{"arm": arm, "seed": seed, "why": why} for (arm, seed), why in left_out.items()],
        **compare_arms(runs),
        "efficiency": [row for row in token_efficiency(folder) if folder / row["run"] in compared],
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
