"""`ringlite eval --model`: one model without a recipe, drawn from by all ranks where a launcher started several."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.runs.ranks import call_ranks, is_follower, others_end_too, signs_for_others
from ringlite_cli.stages.commands.pairs import pairs
from ringlite_cli.stages.commands.policies.find import find_policy


@dataclass(frozen=True)
class Flags:
    """The flags that go with --model alone, as they were given."""

    tasks: str = ""
    data: Sequence[str] = ()
    revision: Sequence[str] = ()
    url: str = ""
    k: int | None = None
    limit: int | None = None
    out: Path | None = None
    columns: str = ""
    domain: str | None = None


def refuse_without_model(flags: Flags) -> None:
    """Raise UserError for flags of --model that are given with a recipe, which would be passed over in silence."""
    if given := next((name for name, value in vars(flags).items() if value), ""):
        hint = "with a recipe, change its eval stage, as in --set stages.eval.tasks=[gsm8k]"
        raise UserError(f"--{given} goes with --model", where="ringlite eval", hint=hint)


def evaluate_by_flags(model: str, flags: Flags, drawn: Mapping[str, Any], seed: int, console: Console) -> Path:
    """Score a model as the flags say; return the folder of the scores.

    model: a folder, a hub id, or RUN:POLICY. drawn: how responses are drawn, fields of EvalSettings. Raises UserError
    for flags that can't be read.
    """
    names = [name for name in flags.tasks.split(",") if name]
    if not names:
        raise UserError("--model needs --tasks", where="ringlite eval", hint="for example --tasks gsm8k,math500")
    path = find_policy(model).path if ":" in model and Path(model.rpartition(":")[0]).is_dir() else model
    out = flags.out or Path("eval", re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.") or "model")
    evaluate_alone(
        path,
        out,
        tasks=names,
        data={name: Path(file) for name, file in pairs("--data", flags.data, "TASK=FILE").items()},
        console=console,
        settings=EvalSettings.made(
            num_generations=flags.k,
            limit=flags.limit,
            revisions=pairs("--revision", flags.revision, "TASK=COMMIT"),
            **drawn,
        ),
        engine=Engine(name="server", url=flags.url) if flags.url else Engine(),
        seed=seed,
        columns=flags.columns,
        domain=flags.domain,
    )
    return out


def evaluate_alone(model: str, out: Path, **options: Any) -> None:
    """As evaluate_model, into `out`; ranks other than the first help to draw."""
    from ringlite_cli.stages.kinds.evaluate import evaluate_model
    from ringlite_cli.stages.walk.ranks import follow

    if is_follower():
        follow(None, out)
        return
    with others_end_too(out), signs_for_others(out):
        evaluate_model(model, out=out, all_ranks=True, **options)
    call_ranks(out, None)


def say_csv(folder: Path, console: Console, policy: str = "") -> None:
    """Write a folder's scores as CSV and say where; only the first rank does."""
    from ringlite_cli.evals.scores_csv import write_csv

    if not is_follower():
        console.say(f"table: {write_csv(folder, policy)}")
