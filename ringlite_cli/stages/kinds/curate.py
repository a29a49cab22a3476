"""curate: from raw sources to verified, disjoint sets with a funnel, the dropped rows and a data card."""

import difflib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ringlite_cli.console import Progress
from ringlite_cli.own_code import is_own
from ringlite_cli.problems import DOMAINS, Verify
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.schema import CurateStage, Recipe, Responder
from ringlite_cli.samples import Sampler, SamplingSettings
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.parts.remembered import Remembered
from ringlite_cli.stages.parts.samplers import open_sampler
from ringlite_cli.stages.preflight.data import sources_can_be_read
from ringlite_cli.stages.preflight.engine import engine_of_models_is_there

if TYPE_CHECKING:
    from ringlite_cli.data.curate import Models, Steps


_TRAIL = ("dropped.jsonl", "doubtful.jsonl", "funnel.json", "CARD.md")


def run(context: Context) -> StageResult:
    from ringlite_cli.data.curate import curate
    from ringlite_cli.data.generators import GENERATORS

    section: CurateStage = context.section
    with context.verifiers() as fresh, context.console.progress("curate", 1) as bar:
        verify = Remembered(fresh, context.folder)
        models = _models(context, verify, bar)
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
    verify.forget()
    if models:
        models.asking.answers.forget()
    rows_in, out = result.funnel["rows_in"], result.funnel["out"]
    return StageResult(
        outputs=result.sets | {name: context.folder / file for name, file in _others().items()},
        rows={name: counts["rows"] for name, counts in result.funnel["sets"].items()} | {"dropped": rows_in - out},
        metrics=result.funnel,
        summary=f"{out:,} of {rows_in:,} rows kept",
        warning="; ".join(result.warnings),
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
        mutants=section.tests.mutants,
        label_embeddings=section.labels.embeddings,
    )


def _models(context: Context, verify: Verify, bar: Progress) -> "Models | None":
    """What the recipe asks of models, with samplers that open when they are needed."""
    from ringlite_cli.data.asking import Asking
    from ringlite_cli.data.curate import Models

    section: CurateStage = context.section
    if not (section.difficulty or section.distill or section.labels.model):
        return None
    asking = Asking(
        partial(_open_sampler, engine=context.recipe.engine, seed=context.recipe.seed),
        verify,
        context.folder,
        context.recipe.prompt_suffix,
        report=lambda line: context.console.say(f"  {line}"),
        progress=lambda name, state: bar.update(state.done, state.total, f"{name}: {state}"),
    )
    return Models(asking, section.difficulty, section.distill, section.labels.model)


def _open_sampler(responder: Responder, *, engine: Engine, seed: int) -> Sampler:
    settings = SamplingSettings(
        max_new_tokens=responder.max_new_tokens,
        temperature=responder.temperature,
        top_p=responder.top_p,
        seed=seed,
        batch_tokens=responder.batch_tokens,
    )
    if responder.endpoint:
        from ringlite_cli.sampling.endpoint import EndpointSampler

        return EndpointSampler(responder, settings)
    return open_sampler(str(responder.path), settings, engine, responder.dtype)


def files(context: Context) -> dict[str, Path]:
    from ringlite_cli.data.sources import local_files

    found: dict[str, Path] = {}
    for source in context.section.sources:
        paths = local_files(source)
        for path in paths:
            found[
                f"source/{source.name}" if len(paths) == 1 else f"source/{source.name}/{path.parent.name}/{path.name}"
            ] = path
    return found


def faults(recipe: Recipe, name: str) -> list[str]:
    """Names of generators, adapters and sets that can't be, and columns without a prompt or a domain."""
    from ringlite_cli.data.adapters import ADAPTERS
    from ringlite_cli.data.generators import GENERATORS

    section = recipe.stages[name]
    assert isinstance(section, CurateStage)
    taken = sorted(section.sets.keys() & (set(_others()) | {"verdicts"}))
    found = [f"sets.{each}: curation has another output of that name; name the set otherwise" for each in taken]
    for number, source in enumerate(section.sources):
        for key, value, known in (("generator", source.generator, GENERATORS), ("adapter", source.adapter, ADAPTERS)):
            if value is not None and value not in known and not (key == "adapter" and is_own(value)):
                near = difflib.get_close_matches(value, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                found.append(f"sources.{number}.{key}: no {key} {value!r}; {hint}")
        if source.columns and not source.domain and "domain" not in source.columns:
            hint = f"give the source one, as in `domain: math` (of {', '.join(DOMAINS)}), or map a column to `domain`"
            found.append(f"sources.{number}.columns: they do not say the rows' domain; {hint}")
        if source.columns and "prompt" not in source.columns:
            found.append(f"sources.{number}.columns: nothing is mapped to `prompt`; write `prompt: <column>`")
    return found


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
    faults=faults,
    preflight=(
        engine_of_models_is_there,
        sources_can_be_read,
    ),
    draws=lambda section: section.asks_local_models,
    revisions=("rows equal in words, though signs or answers differ, stay where duplicates.words is not set",),
)
