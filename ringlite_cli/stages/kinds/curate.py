"""curate: from raw sources to verified, disjoint sets with a funnel, the dropped rows and a data card."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ringlite_cli.console import Progress
from ringlite_cli.errors import UserError, near
from ringlite_cli.models.refused import model_faults
from ringlite_cli.own_code import is_own
from ringlite_cli.problems import DOMAINS, Verify
from ringlite_cli.recipe.schema import CurateStage, Recipe, Responder
from ringlite_cli.samples import Sampler, SamplingSettings
from ringlite_cli.stages.base import Check, Context, StageKind, StageResult
from ringlite_cli.stages.parts.local_models import asked_models
from ringlite_cli.stages.parts.remembered import Remembered
from ringlite_cli.stages.parts.samplers import Draw, open_draw

if TYPE_CHECKING:
    from ringlite_cli.data.curate import Models, Steps


_TRAIL = ("dropped.jsonl", "doubtful.jsonl", "funnel.json", "CARD.md")


def run(context: Context) -> StageResult:
    from ringlite_cli.data.curate import curate
    from ringlite_cli.data.generators import GENERATORS

    section: CurateStage = context.section
    with (
        context.verifiers() as fresh,
        open_draw(context.run, context.name, context.recipe.engine) as draw,
        context.console.progress("curate", 1) as bar,
    ):
        verify = Remembered(fresh, context.folder)
        models = _models(context, verify, draw, bar)
        result = curate(
            section.sources,
            section.sets,
            verify,
            context.folder,
            seed=context.recipe.seed,
            generators=GENERATORS,
            max_unreadable=section.max_unreadable,
            steps=_steps(section, context.recipe.prompt_suffix),
            models=models,
            progress=lambda step, done, total: bar.update(done, total, step),
        )

    def forget() -> None:
        verify.forget()
        if models:
            models.asking.unverified.forget()

    rows_in, out = result.funnel["rows_in"], result.funnel["out"]
    return StageResult(
        outputs=result.sets | {name: context.folder / file for name, file in _others().items()},
        rows={name: counts["rows"] for name, counts in result.funnel["sets"].items()} | {"dropped": rows_in - out},
        metrics=result.funnel,
        summary=f"{out:,} of {rows_in:,} rows kept",
        warning="; ".join(result.warnings),
        when_done=forget,
    )


def _others() -> dict[str, str]:
    """The outputs beside the sets: name -> file."""
    return {file.partition(".")[0].lower(): file for file in (*_TRAIL, "provenance.parquet")}


def _steps(section: CurateStage, suffix: Mapping[str, str]) -> "Steps":
    from ringlite_cli.data.curate import Steps
    from ringlite_cli.rewards.golds import gold_fault

    return Steps(
        doubts=gold_fault,
        languages=section.languages,
        workers=section.workers,
        equal_words=section.duplicates.words,
        keep_doubtful=section.doubtful == "keep",
        prompt_suffix=suffix,
        semantic_duplicates=section.duplicates.semantic,
        semantic_contamination=section.decontamination.semantic,
        require_solution=section.tests.require_solution,
        order_tests=section.tests.order,
        label_embeddings=section.labels.embeddings,
    )


def _models(context: Context, verify: Verify, draw: Draw, bar: Progress) -> "Models | None":
    """Return what the recipe asks of models, with samplers that open when they are needed."""
    from ringlite_cli.data.asking import Asking
    from ringlite_cli.data.curate import Models

    section: CurateStage = context.section
    if not (section.difficulty or section.distill or section.labels.model):
        return None
    asking = Asking(
        partial(_open_sampler, draw=draw, context=context),
        verify,
        context.folder,
        context.recipe.prompt_suffix,
        report=lambda line: context.console.say(f"  {line}"),
        progress=lambda name, state: bar.update(state.done, state.total, f"{name}: {state}"),
    )
    known = partial(_made_here, context)
    difficulty, distill = section.difficulty, section.distill
    if difficulty:
        difficulty = difficulty.model_copy(update={"models": [known(each) for each in difficulty.models]})
    if distill:
        distill = distill.model_copy(update={"teacher": known(distill.teacher)})
    return Models(asking, difficulty, distill, known(section.labels.model) if section.labels.model else None)


def _made_here(context: Context, responder: Responder) -> Responder:
    """Return a responder; a policy of the run is named after its weights, so that others are asked anew."""
    if not responder.policy:
        return responder
    digest = context.done(responder.policy).outputs["policy"]["digest"]
    return responder.model_copy(update={"model": f"{responder.policy}@{digest.rpartition(':')[2][:12]}"})


def _open_sampler(responder: Responder, *, draw: Draw, context: Context) -> Sampler:
    settings = SamplingSettings(
        max_completion_length=responder.max_completion_length,
        temperature=responder.temperature,
        top_p=responder.top_p,
        seed=context.recipe.seed,
        batch_tokens=responder.batch_tokens,
    )
    if responder.endpoint:
        from ringlite_cli.sampling.endpoint import EndpointSampler

        return EndpointSampler(responder, settings)
    if responder.policy:
        dtype = context.recipe.model.dtype if responder.dtype == "auto" else responder.dtype
        return draw(context.policy(responder.policy), settings, dtype)
    return draw(str(responder.path), settings, responder.dtype)


def files(context: Context) -> dict[str, Path | None]:
    from ringlite_cli.data.games.making import version_file
    from ringlite_cli.data.sources import local_files, local_path

    found: dict[str, Path | None] = {}
    for source in context.section.sources:
        if source.is_made:
            if source.gym is not None:
                found[f"source/{source.name}"] = version_file()
            continue
        try:
            paths = local_files(source)
        except UserError:  # none there; the preflight says so where they are to be read
            found[f"source/{source.name}"] = local_path(source)
            continue
        if not paths and source.local:
            found[f"source/{source.name}"] = None
        for path in paths:
            found[
                f"source/{source.name}" if len(paths) == 1 else f"source/{source.name}/{path.parent.name}/{path.name}"
            ] = path
    return found


def faults(recipe: Recipe, name: str) -> list[str]:
    """Names of generators, games, adapters and sets that can't be, and columns without a prompt or a domain."""
    from ringlite_cli.data.adapters import ADAPTERS
    from ringlite_cli.data.generators import GENERATORS

    section = recipe.stages[name]
    assert isinstance(section, CurateStage)
    taken = sorted(section.sets.keys() & (set(_others()) | {"verdicts"}))
    found = [f"sets.{each}: curation has another output of that name; name the set otherwise" for each in taken]
    for key, responder in section.asked().items():
        found += [f"{key}.{fault}" for fault in model_faults(responder.path, trust_remote_code=False)]
    for number, source in enumerate(section.sources):
        for key, value, known in (("generator", source.generator, GENERATORS), ("adapter", source.adapter, ADAPTERS)):
            if value is not None and value not in known and not (key == "adapter" and is_own(value)):
                hint = near(value, known, f"known: {', '.join(known)}")
                found.append(f"sources.{number}.{key}: no {key} {value!r}; {hint}")
        if source.columns and not source.domain and "domain" not in source.columns:
            hint = f"give the source one, as in `domain: math` (of {', '.join(DOMAINS)}), or map a column to `domain`"
            found.append(f"sources.{number}.columns: they do not say the rows' domain; {hint}")
        if source.columns and "prompt" not in source.columns:
            found.append(f"sources.{number}.columns: nothing is mapped to `prompt`; write `prompt: <column>`")
    return found + list(_faults_of_games(section))


def _faults_of_games(section: CurateStage) -> Iterator[str]:
    """What is wrong with the sources of reasoning-gym, as far as it is installed."""
    from ringlite_cli.data.games.asking import game_faults, option_faults
    from ringlite_cli.data.games.making import Maker, is_installed

    with Maker() as maker:
        for number, source in enumerate(section.sources):
            if source.gym is None:
                continue
            found = list(option_faults(source)) + (list(game_faults(source, maker)) if is_installed() else [])
            yield from (f"sources.{number}.{fault}" for fault in found)


def _preflight() -> tuple[Check, ...]:
    from ringlite_cli.stages.preflight.asked_models import asked_models_are_there
    from ringlite_cli.stages.preflight.data import sources_can_be_read
    from ringlite_cli.stages.preflight.engine import engine_of_models_is_there
    from ringlite_cli.stages.preflight.games import games_can_be_made

    return (engine_of_models_is_there, asked_models_are_there, sources_can_be_read, games_can_be_made)


STAGE = StageKind(
    kind="curate",
    summary="clean, verify and split the problems",
    section=CurateStage,
    artifacts={
        "<set>": "a set of problems, parquet",
        "dropped": "every dropped row with its reason",
        "doubtful": "rows that stay though something speaks against their answer",
        "funnel": "counts by reason, source and domain",
        "card": "the data card of the produced sets",
        "provenance": "where each row of each set came from, and what it passed",
    },
    code=(
        "problems.py",
        "prompt_code.py",
        "samples.py",
        "data",
        "rewards",
        "sandbox",
        "sampling",
        "stages/kinds/curate.py",
    ),
    uses=("rewards", "prompt_suffix"),
    run=run,
    files=files,
    models=lambda context: asked_models(context.section),
    faults=faults,
    preflight=_preflight,
    draws=lambda section: section.asks_local_models,
    revisions=("rows equal in words, though signs or answers differ, stay where duplicates.words is not set",),
)
