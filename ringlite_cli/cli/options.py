"""The application, and the arguments and options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

from ringlite_cli import __version__
from ringlite_cli.stages.commands.complete import recipe_names

app = typer.Typer(
    name="ringlite",
    help="The Ring-lite recipe on your own model: curate, SFT, select by entropy, C3PO reinforcement learning, eval.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
sandbox_app = typer.Typer(no_args_is_help=True, help="Run and time the code sandbox.", rich_markup_mode=None)
app.add_typer(sandbox_app, name="sandbox")
data_app = typer.Typer(no_args_is_help=True, help="Look at files of problems.", rich_markup_mode=None)
app.add_typer(data_app, name="data")

RecipeArgument = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="a recipe file, or a shipped recipe's name", autocompletion=recipe_names),
]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="change one key, dotted; repeatable")]
RunsOption = Annotated[Path, typer.Option("--runs-dir", help="where run folders lie")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="rerun even where nothing changed")]
GoOnOption = Annotated[
    bool, typer.Option("--go-on", help="let interrupted training go on from its checkpoint with changed keys")
]
HoursOption = Annotated[
    float | None, typer.Option("--max-hours", help="stop, saved, before so much time is over", min=0.001)
]
ColumnsOption = Annotated[
    str, typer.Option(metavar="FIELD=COLUMN,...", help="which column holds what, as prompt=question,answer=gold")
]
DomainOption = Annotated[str | None, typer.Option(help="of all rows: math, code, science, logic or general")]
StageOption = Annotated[str | None, typer.Option("--stage", help="which one, where a recipe has several of this kind")]
RUNS = Path("runs")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ringlite {__version__}")
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version and exit")
    ] = False,
) -> None:
    """Take what stands before every command."""
