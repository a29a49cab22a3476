"""The stages of the recipe as functions: a whole recipe, curation, and the scores of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.models import register
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.schema import ProblemSet, Recipe, Rewards, Source
from ringlite_cli.runs.files import read_json
from ringlite_cli.samples import SEED
from ringlite_cli.stages.base import open_verifiers
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.run import run_stages
from ringlite_cli.stages.walk.pipeline import Walk, choose_stages


def run_recipe(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    runs_dir: str | Path = "runs",
    first: str | None = None,
    last: str | None = None,
    fresh: bool = False,
    max_hours: float | None = None,
) -> Path:
    """Run a recipe as `ringlite run` does, from stage `first` to stage `last`; return its run folder.

    recipe: a file, the name of a shipped one, or what `load_recipe` returned. overrides: `KEY=VALUE`, dotted; of a file
    only. Stages that are done are skipped, an interrupted one goes on. Raises UserError for a recipe with faults (all
    of them at once), WorkFailed where a stage failed, Interrupted after Ctrl-C.
    """
    if isinstance(recipe, Recipe):
        if overrides:
            raise UserError("overrides change a file", where="overrides", hint="give them to load_recipe")
        loaded = recipe
    else:
        loaded = load_checked(str(recipe), overrides)
    register()
    return run_stages(loaded, Walk(choose_stages(loaded, first, last), fresh, max_hours), Path(runs_dir), Console())


def curate(
    sources: Sequence[Source | Mapping[str, Any]],
    sets: Mapping[str, ProblemSet | Mapping[str, Any]],
    out: str | Path,
    *,
    seed: int = SEED,
    rewards: Rewards | None = None,
) -> dict[str, Path]:
    """Clean, verify and split problems; return the parquet file of each set (`read_problems` reads it).

    sources, sets: as under `sources` and `sets` of a curate stage. `out` also gets dropped.jsonl, funnel.json and
    CARD.md. Raises UserError for a source that cannot be read, and for a set that comes out empty.
    """
    from ringlite_cli.data.curate import curate as curate_rows
    from ringlite_cli.data.generators import GENERATORS

    wanted = [source if isinstance(source, Source) else Source.made(**source) for source in sources]
    named = {name: s if isinstance(s, ProblemSet) else ProblemSet.made(**s) for name, s in sets.items()}
    with open_verifiers(rewards or Rewards()) as verify:
        result = curate_rows(wanted, named, verify, Path(out), seed=seed, generators=GENERATORS)
    return dict(result.sets)


def evaluate(
    model: str | Path,
    tasks: str | Sequence[str],
    out: str | Path,
    *,
    k: int | None = None,
    data: Mapping[str, str | Path] | None = None,
    url: str = "",
    seed: int = SEED,
    **settings: Any,
) -> dict[str, dict[str, Any]]:
    """Score a model on benchmarks; return {task: {"avg@k": share, "ci95": [low, high], ...}}, as in out/scores.json.

    model: a folder or hub id. tasks: names, or one text with commas. k: responses per problem; None takes each task's
    own. data: task -> a local file of it. url: an OpenAI-compatible server of the model, with /v1. settings: those of
    EvalSettings (limit, max_completion_length, temperature, top_p, revisions ...). Raises UserError for an unknown
    task, a missing file, a value out of its range, or no model.
    """
    from ringlite_cli.stages.kinds.evaluate import evaluate_model

    register()
    names = [name for name in (tasks.split(",") if isinstance(tasks, str) else tasks) if name]
    files = {task: Path(path) for task, path in (data or {}).items()}
    engine = Engine(name="server", url=url) if url else Engine()
    evaluate_model(
        str(model),
        names,
        files,
        Path(out),
        Console(),
        EvalSettings.made(num_generations=k, **settings),
        engine=engine,
        seed=seed,
    )
    scores: dict[str, dict[str, Any]] = read_json(Path(out) / "scores.json")
    return scores


__all__ = ["curate", "evaluate", "run_recipe"]
