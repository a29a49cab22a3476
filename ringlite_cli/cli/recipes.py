"""Commands for recipes, own files of problems, and what the package brings."""

from pathlib import Path
from typing import Annotated

import typer

from ringlite_cli.cli.options import ColumnsOption, DomainOption, app, data_app
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.shipped import tested


@app.command()
def recipes(
    show_name: Annotated[str | None, typer.Option("--show", metavar="NAME", help="print this one's file")] = None,
    copy_name: Annotated[
        str | None, typer.Option("--copy", metavar="NAME", help="copy this one to DEST; never over a file")
    ] = None,
    destination: Annotated[
        Path | None, typer.Argument(metavar="[DEST]", help="with --copy: a file or folder; default: NAME.yaml here")
    ] = None,
) -> None:
    """List the shipped recipes and experiments; --show prints one, --copy takes one to change it."""
    from ringlite_cli.stages.commands.recipes import copy_recipe, list_recipes, show_recipe

    if destination is not None and copy_name is None:
        raise UserError(
            f"{str(destination)!r} says where a copy goes", where="ringlite recipes", hint="give --copy NAME, or --show"
        )
    if show_name is not None:
        show_recipe(show_name, Console())
    if copy_name is not None:
        copy_recipe(copy_name, destination, Console())
    if show_name is None and copy_name is None:
        list_recipes(Console())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors that complete and check YAML."""
    from ringlite_cli.stages.commands.recipes import schema_text

    typer.echo(schema_text(), nl=False)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the recipe; NAME.yaml is written")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="problems: jsonl, json, csv or parquet")],
    like: Annotated[str, typer.Option("--from", metavar="RECIPE", help="the recipe to follow")] = "smollm2-gsm8k",
    model: Annotated[
        str,
        typer.Option(metavar="PATH_OR_ID", help="model folder, GGUF file, adapter or hub id; default: the recipe's"),
    ] = "",
    columns: ColumnsOption = "",
    domain: DomainOption = None,
) -> None:
    """Write a recipe for your own model and file: columns, splits, lengths and budget that fit, with comments."""
    from ringlite_cli.stages.commands.first.new import new_recipe

    new_recipe(name, data, Console(), like=like, model=model, columns=columns, domain=domain)


@data_app.command(name="check")
def data_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="problems: jsonl, json, csv or parquet")],
    model: Annotated[str, typer.Option(metavar="PATH_OR_ID", help="whose tokens and context lengths are told in")] = "",
    columns: ColumnsOption = "",
    domain: DomainOption = None,
    rows: Annotated[int, typer.Option(min=1, help="rows that are read at most")] = 2000,
    show: Annotated[int, typer.Option(min=0, help="first rows to print")] = 2,
) -> None:
    """Say how a file of problems is read: fields, rows kept and left out and why, lengths, labels."""
    from ringlite_cli.stages.commands.first.data_check import check_file

    check_file(file, Console(), model=model, columns=columns, domain=domain, rows=rows, shown=show)


@app.command()
def launcher(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="ddp, fsdp2, fsdp2-8gpu or slurm; default: list them")
    ] = None,
) -> None:
    """Print where a launch file lies: accelerate launch --config_file "$(ringlite launcher fsdp2)" ..."""
    from ringlite_cli.stages.commands.shipped_files import launcher_text

    typer.echo(launcher_text(name))


@app.command()
def constraints(
    name: Annotated[
        str, typer.Argument(metavar="SET", help=f"which versions that ran together: {', '.join(tested.SETS)}")
    ] = tested.PINNED,
) -> None:
    """Print where the tested versions lie, for pip's -c.

    It answers before anything else is installed: pip install --no-deps ringlite, and then
    pip install -c "$(ringlite constraints)" ringlite.
    """
    typer.echo(tested.constraints_file(name))
