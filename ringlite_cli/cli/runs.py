"""Commands that look at a recipe before it runs, and at runs."""

from pathlib import Path
from typing import Annotated

import typer

from ringlite_cli.cli.options import RUNS, HoursOption, RecipeArgument, RunsOption, SetOption, StageOption, app
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.recipe.graph import run_order
from ringlite_cli.recipe.load import find_recipe
from ringlite_cli.stages.commands.answers import answer
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.complete import experiment_names


@app.command()
def check(
    recipe: RecipeArgument,
    changes: SetOption = [],  # noqa: B006
    deep: Annotated[
        bool, typer.Option("--deep", help="check model, data, engine and machine too, as run does")
    ] = False,
    runs_dir: RunsOption = RUNS,
) -> None:
    """Report every error of a recipe at once."""
    loaded = load_checked(recipe, changes)
    order = run_order(loaded)
    if deep:
        from ringlite_cli.stages.walk.preflight import check_before

        check_before(loaded, runs_dir / loaded.name, order, Console())
    stages = [{"name": name, "kind": loaded.stages[name].kind} for name in order]
    said = f"{find_recipe(recipe)}: ok, {len(order)} stages: {' -> '.join(order)}"
    data = {"recipe": str(find_recipe(recipe)), "name": loaded.name, "deep": deep, "stages": stages}
    answer(Console(), "check", data, said)


@app.command()
def plan(
    recipe: RecipeArgument,
    changes: SetOption = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    price: Annotated[float | None, typer.Option(min=0.0, help="of an hour of one device: say what it costs")] = None,
    gpus: Annotated[list[int], typer.Option(min=1, help="GPUs to plan memory for; may be given again")] = [],  # noqa: B006
    gpu_memory: Annotated[float | None, typer.Option(min=0.1, help="GiB of each GPU; default: of one of 80 GB")] = None,
    launcher: Annotated[
        Path | None, typer.Option(help="accelerate's file that starts training: what its GPUs share")
    ] = None,
) -> None:
    """Show what a recipe resolves to: batches, tokens, memory, disk, time and money, before any work."""
    from ringlite_cli.stages.commands.plan import print_plan

    given = load_checked(recipe, changes)
    print_plan(given, Console(), runs_dir, price=price, gpus=gpus, gpu_memory=gpu_memory, launcher=launcher)


@app.command()
def show(
    recipe: RecipeArgument,
    stage: StageOption = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="samples to print")] = 3,
    changes: SetOption = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
) -> None:
    """Print samples of an sft stage as they are trained: what is asked, what carries loss, where it ends."""
    from ringlite_cli.stages.commands.show import show_samples

    show_samples(load_checked(recipe, changes), stage, count, runs_dir, Console())


@app.command()
def status(run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, such as runs/demo")]) -> None:
    """Say where a run is, how fast it goes, what is left, and its last warning, while it runs."""
    from ringlite_cli.stages.commands.status import status_data, status_text

    answer(Console(), "status", status_data(run), status_text(run))


@app.command()
def clean(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, such as runs/demo")],
    keep: Annotated[
        int | None, typer.Option(min=0, help="free all old results but the newest so many of each stage")
    ] = None,
) -> None:
    """List the old results that a run keeps, with their sizes; --keep N frees all but N of each stage."""
    from ringlite_cli.stages.commands.clean import clean_run

    clean_run(run, Console(), keep=keep)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, such as runs/demo")],
    against: Annotated[
        str, typer.Option(metavar="RECIPE|RUN", help="compare the run's recipe with this one, not the shipped one")
    ] = "",
    live: Annotated[bool, typer.Option("--live", help="serve a page on this machine that follows the run")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of --live; 0: a free one")] = 0,
    price: Annotated[float | None, typer.Option(min=0.0, help="of an hour of one device: say what it cost")] = None,
    watts: Annotated[float | None, typer.Option(min=0.0, help="of one device at work: say what energy it took")] = None,
) -> None:
    """Write RUN/report.html, one self-contained file, or serve it while the run goes (--live)."""
    from ringlite_cli.stages.commands.report import report_run

    report_run(run, Console(), against=against, live=live, port=port, price=price, watts=watts)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN [RUN...]", help="run folders, or RUN:POLICY")],
    items: Annotated[int, typer.Option(min=0, help="wins and losses to show with their responses, of each task")] = 0,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="exit with 1 where one is worse")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown, for an issue or a note")] = False,
) -> None:
    """Put two or more runs or policies beside the first, with paired intervals."""
    from ringlite_cli.evals.compare import compare as compare_runs
    from ringlite_cli.evals.compare import is_worse
    from ringlite_cli.evals.compare_text import as_tables, as_text

    if len(runs) < 2:
        raise UserError("give two runs or more", where="ringlite compare")
    comparisons = [compare_runs(Path(runs[0]), Path(other), read=items) for other in runs[1:]]
    console = Console()
    if markdown or console.wants_json:
        said = "\n".join(as_text(comparison) for comparison in comparisons)
        answer(console, "compare", {"comparisons": comparisons}, said)
    else:
        for comparison in comparisons:
            console.show(*as_tables(comparison))
    worse = [c["runs"][1] for c in comparisons if is_worse(c)]
    if fail_if_worse and worse:
        raise WorkFailed(f"worse than {runs[0]} on a task at least: {', '.join(worse)}")


@app.command()
def experiment(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="an experiment file, or a shipped experiment's name", autocompletion=experiment_names
        ),
    ],
    changes: SetOption = [],  # noqa: B006
    seeds: Annotated[list[int], typer.Option("--seed", help="instead of the file's seeds; repeatable")] = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    max_hours: HoursOption = None,
    compare_only: Annotated[
        bool, typer.Option("--compare-only", help="run nothing: compare the finished runs of the runs folder")
    ] = False,
) -> None:
    """Run every arm of an experiment on every seed, and compare them on one page."""
    from ringlite_cli.stages.commands.experiment import compare_finished, comparison_data, run_experiment

    console = Console()
    if compare_only:
        page = compare_finished(file, runs_dir, console, changes=changes, seeds=seeds)
    else:
        page = run_experiment(file, runs_dir, console, changes=changes, seeds=seeds, max_hours=max_hours)
    answer(console, "experiment", comparison_data(page), f"comparison: {page}")
