"""Commands for policies, verifiers, the sandbox and the machine."""

from pathlib import Path
from typing import Annotated

import typer

from ringlite_cli import limits
from ringlite_cli.cli.options import app, sandbox_app
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.samples import SEED


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
    workers: Annotated[int, typer.Option(min=1)] = limits.WORKERS,
    isolation: Annotated[str, typer.Option(help="least sandbox isolation: full, partial or none")] = limits.ISOLATION,
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
def chat(
    policy: Annotated[str, typer.Argument(metavar="RUN[:POLICY]", help="a run's policy, or a model folder or id")],
    engine: Annotated[str, typer.Option(help="transformers or vllm")] = "transformers",
    domain: Annotated[str | None, typer.Option(help="end each question as the run's prompts of this domain do")] = None,
    system: Annotated[str, typer.Option(help="a system prompt")] = "",
    temperature: Annotated[float, typer.Option(min=0.0)] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.95,
    max_completion_length: Annotated[int, typer.Option(min=1, help="length limit of a response")] = 1024,
    seed: Annotated[int, typer.Option(min=0)] = SEED,
) -> None:
    """Talk to a policy in the terminal; /reset forgets what was said, /exit ends it."""
    from ringlite_cli.samples import SamplingSettings
    from ringlite_cli.stages.commands.policies.chat import chat as talk

    settings = SamplingSettings(max_completion_length, temperature, top_p, seed)
    talk(policy, Console(), engine=engine, domain=domain, system=system, settings=settings)


@app.command()
def serve(
    policy: Annotated[str, typer.Argument(metavar="RUN:POLICY", help="a run's policy, or a model folder or id")],
    start: Annotated[bool, typer.Option("--run", help="start the server instead of printing its line")] = False,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    max_model_length: Annotated[int | None, typer.Option(min=1, help="tokens of prompt and response")] = None,
    name: Annotated[str, typer.Option(help="that clients ask for; default: RUN.POLICY")] = "",
) -> None:
    """Print the `vllm serve` line of a policy, or start the server with --run."""
    from ringlite_cli.stages.commands.policies.serve import serve as serve_policy

    serve_policy(policy, Console(), host=host, port=port, longest=max_model_length, name=name, run=start)


@app.command()
def export(
    policy: Annotated[str, typer.Argument(metavar="RUN:POLICY", help="as runs/demo:rl-mixed")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder")],
    push: Annotated[str, typer.Option(metavar="OWNER/NAME", help="upload it to a new repository of the hub")] = "",
    public: Annotated[bool, typer.Option("--public", help="with --push: for everyone to see")] = False,
) -> None:
    """Write a policy's weights with a model card, scores, data card and manifests into a new folder."""
    from ringlite_cli.stages.commands.policies.export import export as export_policy

    export_policy(policy, folder, Console(), push=push, public=public)


@app.command()
def rescore(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, or the --out folder of an evaluation")],
    data: Annotated[list[str], typer.Option(metavar="TASK=FILE", help="a task's local file")] = [],  # noqa: B006
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: as the run's recipe says")] = None,
) -> None:
    """Verify the stored responses of a run again, by today's verifiers; old verdicts and scores stay as they are."""
    from ringlite_cli.stages.commands.pairs import pairs
    from ringlite_cli.stages.commands.rescore import rescore_run

    files = {task: Path(file) for task, file in pairs("--data", data, "TASK=FILE").items()}
    rescore_run(run, Console(), data=files, workers=workers)


@sandbox_app.command(name="bench")
def sandbox_bench(
    seconds: Annotated[float, typer.Option(min=1.0)] = 5.0,
    workers: Annotated[int, typer.Option(min=1)] = limits.WORKERS,
) -> None:
    """Measure isolated verdicts a second, beside a bare interpreter start."""
    from ringlite_cli.stages.commands.verify import sandbox_bench_text

    Console().say(sandbox_bench_text(seconds, workers))


@sandbox_app.command(name="run")
def sandbox_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a program")],
    tests: Annotated[Path, typer.Option(help="JSON with mode, language and cases, entry_point or code")],
    isolation: Annotated[str, typer.Option(help="least sandbox isolation: full, partial or none")] = limits.ISOLATION,
) -> None:
    """Run one program against tests in the sandbox and print its verdict; exit with 1 where it is not accepted."""
    from ringlite_cli.stages.commands import verify as commands

    if not commands.sandbox_run(file, tests, Console(), isolation):
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Check that this machine has what a run needs, and say what to do where it has not."""
    from ringlite_cli.stages.commands.doctor import examine

    raise typer.Exit(0 if examine(Console()) else 1)
