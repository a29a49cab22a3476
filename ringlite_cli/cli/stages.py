"""Commands that run a recipe, or one of its stages."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ringlite_cli.cli.options import (
    RUNS,
    ColumnsOption,
    DomainOption,
    FreshOption,
    GoOnOption,
    HoursOption,
    RecipeArgument,
    RunsOption,
    SetOption,
    StageOption,
    app,
)
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.samples import SEED
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.kinds import KINDS

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
    """Run the stage of a kind (`stage` names it where there are several; default: the first); return its folder."""
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

        Console().answer(explain_text(folder))


@app.command(name="eval")
def evaluate(
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="a recipe; or give --model")] = None,
    stage: StageOption = None,
    changes: SetOption = [],  # noqa: B006
    runs_dir: RunsOption = RUNS,
    fresh: FreshOption = False,
    go_on: GoOnOption = False,
    max_hours: HoursOption = None,
    model: Annotated[
        str | None, typer.Option(help="a model folder or id, or RUN:POLICY, to evaluate without a recipe")
    ] = None,
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
    max_completion_length: Annotated[
        int,
        typer.Option(
            "--max-completion-length", "--max-new-tokens", min=1, help="with --model: length limit of a response"
        ),
    ] = _EVAL["max_completion_length"].default,
    temperature: Annotated[float, typer.Option(min=0.0, help="with --model")] = _EVAL["temperature"].default,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="with --model")] = _EVAL["top_p"].default,
    seed: Annotated[int, typer.Option(min=0, help="with --model")] = SEED,
    out: Annotated[
        Path | None, typer.Option(help="with --model: where scores.json and responses.jsonl go; default: eval/MODEL")
    ] = None,
    columns: ColumnsOption = "",
    domain: DomainOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="write scores.csv beside scores.json too")] = False,
) -> None:
    """Stage eval: score policies on held-out problems; or, with --model, one model without a recipe."""
    from ringlite_cli.stages.commands import evaluate as commands

    if (recipe is None) == (model is None):
        raise UserError("give a RECIPE or --model, one of them", where="ringlite eval")
    flags = commands.Flags(tasks, data, revisions, url, k, limit, out, columns, domain)
    if recipe is not None:
        commands.refuse_without_model(flags)
        folder = _one_stage(recipe, "eval", stage, changes, runs_dir, Pace(fresh, go_on, max_hours))
    else:
        drawn = {"max_completion_length": max_completion_length, "temperature": temperature, "top_p": top_p}
        folder = commands.evaluate_by_flags(str(model), flags, drawn, seed, Console())
    if as_csv:
        commands.say_csv(folder, Console(), model or "")
