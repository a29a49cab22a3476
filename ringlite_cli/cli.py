"""The commands. Thin on purpose: parse, load the recipe, hand over; heavy imports happen inside the commands."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.load import find_recipe, shipped_experiments, shipped_recipes
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.kinds import KINDS

app = typer.Typer(
    name="ringlite",
    help="The Ring-lite recipe on your own model: curate, SFT, select by entropy, C3PO reinforcement learning, eval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
sandbox_app = typer.Typer(no_args_is_help=True, help="Run and time the code sandbox.", rich_markup_mode=None)
app.add_typer(sandbox_app, name="sandbox")

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="a recipe file, or a shipped recipe's name")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="change one key, dotted; repeatable")]
RunsOption = Annotated[Path, typer.Option("--runs-dir", help="where run folders lie")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="rerun even where nothing changed")]
GoOnOption = Annotated[
    bool, typer.Option("--go-on", help="let interrupted training go on from its checkpoint with changed keys")
]
HoursOption = Annotated[
    float | None, typer.Option("--max-hours", help="stop, saved, before so much time is over", min=0.001)
]
RUNS = Path("runs")
_EVAL = EvalSettings.model_fields


@app.command()
def run(
    recipe: RecipeArgument,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="start at this stage")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="stop after this stage")] = None,
    changes: SetOption = [],  # noqa: B006 (typer copies it)
    runs_dir: RunsOption = RUNS,
    fresh: FreshOption = False,
    go_on: GoOnOption = False,
    max_hours: HoursOption = None,
) -> None:
    """Run a recipe; fresh stages are skipped, an interrupted one goes on."""
    from ringlite_cli.stages.commands.run import run_stages
    from ringlite_cli.stages.walk.decide import Walk
    from ringlite_cli.stages.walk.pipeline import choose_stages

    loaded = load_checked(recipe, changes)
    walk = Walk(choose_stages(loaded, first, last), fresh, max_hours, go_on=go_on)
    run_stages(loaded, walk, runs_dir, Console())


@dataclass(frozen=True)
class Pace:
    """Whether a stage begins again or goes on, and how long it may take."""

    fresh: bool
    go_on: bool
    max_hours: float | None


def _one_stage(
    recipe: str,
    kind: str,
    stage: str | None,
    changes: list[str],
    runs_dir: Path,
    pace: Pace,
) -> Path:
    """Runs the stage of a kind (`stage` names it where there are several; default: the first); returns its folder."""
    from ringlite_cli.stages.commands.run import run_stages
    from ringlite_cli.stages.walk.decide import Walk

    loaded = load_checked(recipe, changes)
    names = [name for name, section in loaded.stages.items() if section.kind == kind]
    if not names:
        raise UserError(f"the recipe has no {kind} stage", where=recipe, hint=f"stages are {', '.join(loaded.stages)}")
    if stage is not None and stage not in names:
        raise UserError(f"no {kind} stage {stage!r}", where=recipe, hint=f"it has {', '.join(names)}")
    run_stages(loaded, Walk([stage or names[0]], pace.fresh, pace.max_hours, go_on=pace.go_on), runs_dir, Console())
    return runs_dir / loaded.name / (stage or names[0])


StageOption = Annotated[str | None, typer.Option("--stage", help="which one, where a recipe has several of this kind")]


def _stage_command(kind: str, name: str | None = None) -> Callable[..., None]:
    """The command that runs one stage: of a kind (--stage says which), or of a given name."""
    if name is not None:

        def named(
            recipe: RecipeArgument,
            changes: SetOption = [],  # noqa: B006
            runs_dir: RunsOption = RUNS,
            fresh: FreshOption = False,
            go_on: GoOnOption = False,
            max_hours: HoursOption = None,
        ) -> None:
            _one_stage(recipe, kind, name, changes, runs_dir, Pace(fresh, go_on, max_hours))

        return named

    def of_kind(
        recipe: RecipeArgument,
        stage: StageOption = None,
        changes: SetOption = [],  # noqa: B006
        runs_dir: RunsOption = RUNS,
        fresh: FreshOption = False,
        go_on: GoOnOption = False,
        max_hours: HoursOption = None,
    ) -> None:
        _one_stage(recipe, kind, stage, changes, runs_dir, Pace(fresh, go_on, max_hours))

    return of_kind


for _kind, _stage in KINDS.items():
    if _kind not in ("eval", "select"):  # they have options of their own, below
        app.command(name=_kind, help=f"Stage {_kind}: {_stage.summary}.")(_stage_command(_kind))
for _name in ("rl-math", "rl-mixed"):
    app.command(name=_name, help=f"The recipe's RL stage named {_name}.")(_stage_command("rl", _name))


@app.command(name="select", help=f"Stage select: {KINDS['select'].summary}.")
@app.command(name="select-by-entropy", hidden=True)
def select(
    recipe: RecipeArgument,
    stage: StageOption = None,
    changes: SetOption = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    fresh: FreshOption = False,
    go_on: GoOnOption = False,
    max_hours: HoursOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="say in words why, candidate by candidate")] = False,
) -> None:
    folder = _one_stage(recipe, "select", stage, changes, runs_dir, Pace(fresh, go_on, max_hours))
    if explain:
        from ringlite_cli.stages.kinds.select import explain_text

        Console().say(explain_text(folder))


@app.command(name="eval")
def evaluate(
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="a recipe; or give --model")] = None,
    stage: StageOption = None,
    changes: SetOption = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    fresh: FreshOption = False,
    go_on: GoOnOption = False,
    max_hours: HoursOption = None,
    model: Annotated[str | None, typer.Option(help="a model folder or id to evaluate without a recipe")] = None,
    tasks: Annotated[str, typer.Option(help="with --model: task names, separated by commas")] = "",
    data: Annotated[list[str], typer.Option(metavar="TASK=FILE", help="with --model: a task's local file")] = [],  # noqa: B006
    revisions: Annotated[
        list[str],
        typer.Option("--revision", metavar="TASK=COMMIT", help="with --model: of a task's dataset on the hub"),
    ] = [],  # noqa: B006
    url: Annotated[str, typer.Option(help="with --model: an OpenAI-compatible server of it, with /v1")] = "",
    k: Annotated[
        int | None, typer.Option(min=1, help="with --model: responses a problem (default: the task's)")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="with --model: problems a task")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="with --model: length limit of a response")] = _EVAL[
        "max_new_tokens"
    ].default,
    temperature: Annotated[float, typer.Option(min=0.0, help="with --model")] = _EVAL["temperature"].default,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="with --model")] = _EVAL["top_p"].default,
    seed: Annotated[int, typer.Option(min=0, help="with --model")] = 17,
    out: Annotated[
        Path | None, typer.Option(help="with --model: where scores.json and responses.jsonl go; default: eval/MODEL")
    ] = None,
) -> None:
    """Stage eval: score policies on held-out problems; or, with --model, one model without a recipe."""
    if (recipe is None) == (model is None):
        raise UserError("give a RECIPE or --model, one of them", where="ringlite eval")
    if recipe is not None:
        _one_stage(recipe, "eval", stage, changes, runs_dir, Pace(fresh, go_on, max_hours))
        return
    from ringlite_cli.recipe.engine import Engine
    from ringlite_cli.stages.kinds.evaluate import evaluate_model

    names = [name for name in tasks.split(",") if name]
    if not names:
        raise UserError("--model needs --tasks", where="ringlite eval", hint="for example --tasks gsm8k,math500")
    evaluate_model(
        str(model), names, {name: Path(file) for name, file in _pairs("--data", data, "NAME=FILE").items()},
        out or Path("eval", re.sub(r"[^A-Za-z0-9._-]+", "-", str(model)).strip("-.") or "model"), Console(),
        EvalSettings.made(
            samples=k, limit=limit, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p,
            revisions=_pairs("--revision", revisions, "TASK=COMMIT"),
        ),
        engine=Engine(name="server", url=url) if url else Engine(), seed=seed,
    )  # fmt: skip


def _pairs(flag: str, items: list[str], form: str) -> dict[str, str]:
    pairs = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not name or not value:
            raise UserError(f"{item!r} is not {form}", where=flag)
        pairs[name] = value
    return pairs


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
    if deep:
        from ringlite_cli.stages.walk.preflight import check_before

        check_before(loaded, runs_dir / loaded.name, list(loaded.stages), Console())
    Console().say(f"{find_recipe(recipe)}: ok, {len(loaded.stages)} stages: {' -> '.join(loaded.stages)}")


@app.command()
def plan(
    recipe: RecipeArgument,
    changes: SetOption = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    price: Annotated[float | None, typer.Option(min=0.0, help="of an hour of one device: say what it costs")] = None,
) -> None:
    """Show what a recipe resolves to: batches, tokens, memory, disk, time and money, before any work."""
    from ringlite_cli.stages.commands.plan import print_plan

    print_plan(load_checked(recipe, changes), Console(), runs_dir, price=price)


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
    from ringlite_cli.stages.commands.status import status_text

    Console().say(status_text(run))


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
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, such as runs/demo")]) -> None:
    """Write RUN/report.html, one self-contained file."""
    from ringlite_cli.stages.commands.run import report_of

    Console().say(str(report_of(run)))


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN [RUN...]", help="run folders, or RUN:POLICY")],
    items: Annotated[int, typer.Option(min=0, help="wins and losses to show with their responses, of each task")] = 0,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="exit with 1 where one is worse")] = False,
) -> None:
    """Put two or more runs or policies beside the first, with paired intervals."""
    from ringlite_cli.evals.compare import as_text, is_worse
    from ringlite_cli.evals.compare import compare as compare_runs

    if len(runs) < 2:
        raise UserError("give two runs or more", where="ringlite compare")
    comparisons = [compare_runs(Path(runs[0]), Path(other), read=items) for other in runs[1:]]
    for comparison in comparisons:
        Console().say(as_text(comparison))
    worse = [c["runs"][1] for c in comparisons if is_worse(c)]
    if fail_if_worse and worse:
        raise WorkFailed(f"worse than {runs[0]} on a task at least: {', '.join(worse)}")


@app.command()
def experiment(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an experiment file, or a shipped experiment's name")],
    changes: SetOption = [],  # noqa: B006
    seeds: Annotated[list[int], typer.Option("--seed", help="instead of the file's seeds; repeatable")] = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    max_hours: HoursOption = None,
    compare_only: Annotated[
        bool, typer.Option("--compare-only", help="run nothing: compare the finished runs of the runs folder")
    ] = False,
) -> None:
    """Run every arm of an experiment on every seed, and compare them on one page."""
    from ringlite_cli.stages.commands.experiment import compare_finished, run_experiment

    console = Console()
    if compare_only:
        page = compare_finished(file, runs_dir, console, changes=changes, seeds=seeds)
    else:
        page = run_experiment(file, runs_dir, console, changes=changes, seeds=seeds, max_hours=max_hours)
    console.say(f"comparison: {page}")


@app.command()
def recipes() -> None:
    """List the shipped recipes, and the shipped experiments."""
    console = Console()
    for name, path in shipped_recipes().items():
        console.say(f"{name:<24} {_first_comment(path)}")
    for name, path in shipped_experiments().items():
        console.say(f"{name:<24} {_first_comment(path)} (ringlite experiment {name})")


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.jsonl", help="rows with a response, its answer or tests")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where the verdicts go")] = None,
    explain: Annotated[
        tuple[str, str] | None, typer.Option(metavar="GOLD ANSWER", help="say how two answers are read, and why")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0.0, help="with --explain: relative, as science has it")] = 0.0,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    isolation: Annotated[str, typer.Option(help="least sandbox isolation: full, partial or none")] = "full",
    trust_compiled_tests: Annotated[
        bool, typer.Option(help="run C++ and Java tests of mode unit, though a program can forge their end")
    ] = False,
) -> None:
    """Verify responses offline: a row in, a verdict out."""
    from ringlite_cli.stages.commands.verify import explained, verify_rows

    if explain:
        Console().say(explained(*explain, tolerance))
        return
    if file is None or out is None:
        raise UserError("verify needs FILE.jsonl and --out, or --explain GOLD ANSWER")
    verify_rows(file, out, Console(), workers=workers, isolation=isolation, trust_compiled_tests=trust_compiled_tests)


@app.command()
def rescore(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, or the --out folder of an evaluation")],
    data: Annotated[list[str], typer.Option(metavar="TASK=FILE", help="a task's local file")] = [],  # noqa: B006
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: as the run's recipe says")] = None,
) -> None:
    """Verify the stored responses of a run again, by today's verifiers; old verdicts and scores stay as they are."""
    from ringlite_cli.evals.standalone import read_data_flags
    from ringlite_cli.stages.commands.rescore import rescore_run

    files = {task: Path(file) for task, file in read_data_flags(data).items()}
    rescore_run(run, Console(), data=files, workers=workers)


@sandbox_app.command(name="bench")
def sandbox_bench(
    seconds: Annotated[float, typer.Option(min=1.0)] = 5.0,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Measure isolated verdicts a second, beside a bare interpreter start."""
    from ringlite_cli.stages.commands.verify import sandbox_bench_text

    Console().say(sandbox_bench_text(seconds, workers))


@sandbox_app.command(name="run")
def sandbox_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a program")],
    tests: Annotated[Path, typer.Option(help="JSON with mode, language and cases, entry_point or code")],
    isolation: Annotated[str, typer.Option(help="least sandbox isolation: full, partial or none")] = "full",
) -> None:
    """Run one program against tests in the sandbox and print its verdict."""
    from ringlite_cli.stages.commands.verify import sandbox_run_text

    Console().say(sandbox_run_text(file, tests, isolation))


@app.command()
def doctor() -> None:
    """Check that this machine has what a run needs, and say what to do where it has not."""
    from ringlite_cli.stages.commands.doctor import examine

    raise typer.Exit(0 if examine(Console()) else 1)
