"""`ringlite run`, and each stage by itself: walks stages, then writes the report, also where a stage failed."""

from dataclasses import replace
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.presence import entries, is_there
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.meeting import check_same_run, find_meeting_place
from ringlite_cli.runs.sharding import launched_sharded, leave_dtype_to_recipe, read_everywhere
from ringlite_cli.stages.walk.decide import Walk


def run_stages(recipe: Recipe, walk: Walk, runs_dir: Path, console: Console) -> Path:
    """Run the stages of `walk` in runs_dir/<recipe name>; return that folder. Raises what the failing stage raised."""
    from ringlite_cli.stages.calls import is_follower
    from ringlite_cli.stages.walk.pipeline import run_pipeline
    from ringlite_cli.stages.walk.ranks import follow

    folder = runs_dir / recipe.name
    launched_sharded()  # raises for a launcher's configuration that cannot work
    read_everywhere()
    leave_dtype_to_recipe()
    find_meeting_place()
    check_same_run(recipe.name, folder)
    if is_follower():
        follow(recipe, folder)
        return folder
    try:
        run_pipeline(recipe, folder, replace(walk, donors=[*walk.donors, *_siblings(folder)]), console)
    except Exception:
        _report_quietly(folder)
        raise
    console.say(f"report: {report_of(folder)}")
    return folder


def _siblings(folder: Path) -> list[Path]:
    """The other runs of a runs folder, whose finished stages may be the same work."""
    return [each for each in entries(folder.parent) if each != folder and is_there(each / "recipe.json")]


def report_of(folder: Path) -> Path:
    """Write the report of a run folder; return its path."""
    from ringlite_cli.report import write_report
    from ringlite_cli.stages.walk.failures import as_failure

    try:
        return write_report(folder)
    except OSError as error:
        raise as_failure(error, folder) or error from None


def _report_quietly(folder: Path) -> None:
    """The report of a run that ended badly is a courtesy: its own failure must not hide the first one."""
    try:
        report_of(folder)
    except Exception:
        return
