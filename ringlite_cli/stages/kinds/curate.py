"""curate: from raw sources to verified, disjoint sets with a funnel, the dropped rows and a data card."""

import difflib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ringlite_cli.console import Progress
from ringlite_cli.problems import Verify
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.schema import CurateStage, Recipe, Responder
from ringlite_cli.samples import Sampler, SamplingSettings
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.parts.remembered import Remembered
from ringlite_cli.stages.parts.samplers import open_sampler

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
    """The files that sources are read from, where they are files."""
    from ringlite_cli.data.sources import local_path

    found = {source.name: local_path(source) for source in context.section.sources}
    return {f"source/{name}": path for name, path in found.items() if path}


def faults(recipe: Recipe, name: str) -> list[str]:
    """Sources that name a generator or an adapter which does not exist, sets named as another output is."""
    from ringlite_cli.data.adapters import ADAPTERS
    from ringlite_cli.data.generators import GENERATORS

    section = recipe.stages[name]
    assert isinstance(section, CurateStage)
    taken = sorted(section.sets.keys() & (set(_others()) | {"verdicts"}))
    found = [f"sets.{each}: curation has another output of that name; name the set otherwise" for each in taken]
    for number, source in enumerate(section.sources):
        for key, value, known in (("generator", source.generator, GENERATORS), ("adapter", source.adapter, ADAPTERS)):
            if value is not None and value not in known:
                near = difflib.get_close_matches(value, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                found.append(f"sources.{number}.{key}: no {key} {value!r}; {hint}")
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
    code=("problems.py", "samples.py", "data", "rewards", "sandbox", "sampling", "stages/kinds/curate.py"),
    uses=("rewards", "prompt_suffix"),
    run=run,
    files=files,
    faults=faults,
)
