"""Curation: sources in, named sets out, with dropped.jsonl, funnel.json and CARD.md beside them.

load -> for eval, then select, then train: measure every text -> drop what stands in a split before it -> cleanse by
rules -> verify labels -> drop duplicates -> and out of all that is left: label, ask models, draw sets. Rows keep the
order of the recipe throughout; their texts stand in a spool file beside the outputs while it lasts.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.data.asking import Asking
from ringlite_cli.data.boilerplate import Boilerplate, find_boilerplate
from ringlite_cli.data.by_route import check_by_route
from ringlite_cli.data.cards import card_warnings
from ringlite_cli.data.cleansing import cleanse, is_benchmark
from ringlite_cli.data.decontaminate import decontaminate
from ringlite_cli.data.difficulty import by_pass_rate
from ringlite_cli.data.distill import distill
from ringlite_cli.data.duplicates import drop_duplicates
from ringlite_cli.data.features import Features, join, measure
from ringlite_cli.data.games.drawing import told
from ringlite_cli.data.labelling import label_rows
from ringlite_cli.data.losses import silent_sources
from ringlite_cli.data.needs import is_for_sft_alone
from ringlite_cli.data.results import CurateResult, finish
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted, Spool
from ringlite_cli.data.rules import LANGUAGES, unworded
from ringlite_cli.data.semantic import (
    drop_semantic_duplicates,
    embed_rows,
    model_folder,
    semantic_contamination,
)
from ringlite_cli.data.sources import MAX_UNREADABLE, GeneratorLike, load_sources
from ringlite_cli.data.suites import order_tests
from ringlite_cli.data.verification import Doubts, doubted, run_aside, same_answers, verify_rows
from ringlite_cli.problems import Verify
from ringlite_cli.recipe.schema import Difficulty, Distill, ProblemSet, Responder, Source

PRECEDENCE = ("eval", "select", "train")
"""A problem that stands in two splits stays in the first of these."""
_SPOOL = ".spool"


@dataclass(frozen=True)
class Steps:
    """How the text steps work: see the keys of the same names in a recipe's curate stage."""

    languages: Sequence[str] = LANGUAGES
    workers: int | None = None
    equal_words: bool = False
    keep_doubtful: bool = False
    doubts: Doubts | None = None
    prompt_suffix: Mapping[str, str] = field(default_factory=dict)
    semantic_duplicates: float | None = None
    semantic_contamination: float | None = None
    require_solution: bool = True
    order_tests: bool = False
    label_embeddings: bool = False
    progress: Progress | None = None

    def tell(self, what: str, total: int) -> None:
        """Say what begins, and over how many rows."""
        if self.progress:
            self.progress(what, 0, total)


@dataclass(frozen=True)
class Models:
    """What is asked of models, and how: pass rates, traces, and labels."""

    asking: Asking
    difficulty: Difficulty | None = None
    distill: Distill | None = None
    labels: Responder | None = None


def curate(
    sources: Sequence[Source],
    sets: Mapping[str, ProblemSet],
    verify: Verify,
    out_dir: Path,
    *,
    seed: int,
    generators: Mapping[str, GeneratorLike],
    max_unreadable: float = MAX_UNREADABLE,
    steps: Steps | None = None,
    models: Models | None = None,
    warnings: Sequence[str] = (),
    progress: Progress | None = None,
) -> CurateResult:
    """Run the whole of curation and write its files into `out_dir`, each of them atomically.

    Raises UserError for a source that is missing, empty or mostly unreadable, and for a set that comes out empty; the
    trail (dropped.jsonl, funnel.json, CARD.md) is on disk by then, to see why.
    """
    steps = replace(steps or Steps(), progress=progress)
    warnings = [*warnings, *card_warnings(sources), *unworded(steps.languages)]
    if steps.semantic_duplicates or steps.semantic_contamination or steps.label_embeddings:
        model_folder()  # its absence shows now, not after an hour
    shutil.rmtree(out_dir / _SPOOL, ignore_errors=True)
    out_dir.mkdir(parents=True, exist_ok=True)
    spool = Spool(out_dir / _SPOOL / "rows")
    try:
        loaded = load_sources(
            sources, seed=seed, generators=generators, max_unreadable=max_unreadable, spool=spool, progress=progress
        )
        rows = [row for source in loaded for row in source.rows]
        sifted = sift(rows, verify, steps, folder=out_dir / _SPOOL)
        notes = sifted.notes | _ask(sifted, models) | _label(sifted.kept, steps, models)
        notes |= told({source.name: source.drawing for source in loaded if source.drawing})
        sifted.drops[:0] = [drop for source in loaded for drop in source.unreadable]
        warnings += silent_sources({source.name: source.rows for source in loaded}, sifted)
        return finish(sifted, sets, out_dir, seed, warnings, notes, progress)
    finally:
        spool.close()
        shutil.rmtree(out_dir / _SPOOL, ignore_errors=True)


def sift(rows: Sequence[CuratedRow], verify: Verify, steps: Steps, folder: Path | None = None) -> Sifted:
    """All steps between loading and drawing, a split at a time.

    Leaks are looked for first, so that each is listed as one, whatever else is wrong with the row.
    """
    for number, row in enumerate(rows):
        row.number = number
    steps.tell("looking for shared text", len(rows))
    boilerplate = find_boilerplate(rows)
    held = _Held()
    all_of = Sifted(notes=shared_texts(rows, boilerplate, steps.prompt_suffix))
    for split in PRECEDENCE:
        here = [r for r in rows if r.split == split]
        if not here:
            continue
        features = measure(
            here,
            languages=steps.languages,
            folder=folder,
            workers=steps.workers,
            progress=steps.progress,
            boilerplate=boilerplate,
        )
        steps.tell(f"comparing {split} with held-out problems", len(here))
        apart = decontaminate(here, held.rows, features, held.features, steps.progress)
        apart = _then(apart, _leaks(apart.kept, features, held, steps))
        checked = check_rows(apart.kept, features, verify, steps)
        benchmarks = [r for r in checked.kept if is_benchmark(r)]
        single = single_rows([r for r in checked.kept if not is_benchmark(r)], features, verify, steps)
        all_of.doubtful += single.doubtful
        single = _then(single, _copies(single.kept, features, steps))
        held.add(benchmarks + single.kept, features if split != PRECEDENCE[-1] else None)
        all_of.drops += apart.drops + checked.drops + single.drops
        all_of.traces_stripped += checked.traces_stripped
        all_of.mended += checked.mended
        all_of.doubtful += checked.doubtful
        all_of.ran += checked.ran + run_aside(apart.drops, verify)
    all_of.kept = sorted(held.rows, key=lambda r: r.number)
    all_of.drops.sort(key=lambda d: d.number)
    return all_of


def check_rows(rows: Sequence[CuratedRow], features: Features, verify: Verify, steps: Steps) -> Sifted:
    """Put the text rules and then the verifiers to rows, each row by itself; rows keep their order."""
    clean = cleanse(rows, features, steps.languages, require_solution=steps.require_solution, progress=steps.progress)
    routed, rest = check_by_route(clean.kept, verify, steps.progress)
    verified = verify_rows(rest, verify, steps.progress, doubts=steps.doubts, keep_doubtful=steps.keep_doubtful)
    kept = sorted(verified.kept + routed.kept, key=lambda r: r.number)
    if steps.order_tests:
        order_tests(kept, verify, steps.progress)
    return Sifted(
        kept,
        clean.drops + verified.drops + routed.drops,
        clean.traces_stripped + routed.traces_stripped + verified.traces_stripped,
        clean.mended,
        verified.doubtful,
        verified.ran + run_aside(clean.drops, verify),
    )


def single_rows(rows: Sequence[CuratedRow], features: Features, verify: Verify, steps: Steps) -> Sifted:
    """Drop copies and conflicting answers; rows that stay although they conflict get the label `doubtful`."""
    single = drop_duplicates(rows, features, **copies_wanted(verify, steps))
    mark_doubtful(single.doubtful)
    return single


def copies_wanted(verify: Verify, steps: Steps) -> dict[str, Any]:
    """Return how copies and conflicting answers are looked for: the options of `drop_duplicates`."""
    agree = partial(same_answers, verify)
    return {
        "words": steps.equal_words,
        "agree": agree,
        "keep_conflicts": steps.keep_doubtful,
        "progress": steps.progress,
    }


def mark_doubtful(doubts: Sequence[Drop]) -> None:
    """Give rows that stay although they conflict the label `doubtful`."""
    for doubt in doubts:
        assert isinstance(doubt.subject, CuratedRow)
        doubt.subject.problem = doubted(doubt.subject.problem, doubt.reason)


def shared_texts(rows: Sequence[CuratedRow], boilerplate: Boilerplate, suffix: Mapping[str, str]) -> dict[str, Any]:
    """Take off prompts what the recipe's suffix says again; for the funnel, what each source's prompts share."""
    cut: Counter[str] = Counter()
    echoing = {source for source in boilerplate.shared if boilerplate.echoes(source, suffix.values())}
    for row in rows if echoing else ():
        problem = row.problem
        if row.procedural or problem.source not in echoing:
            continue
        prompt = boilerplate.without_echo(problem.prompt, problem.source, suffix.get(problem.domain, ""))
        if prompt != problem.prompt:
            row.change(prompt=prompt)
            cut[problem.source] += 1
    return {"boilerplate": {s: {"texts": t, "taken_off": cut[s]} for s, t in boilerplate.counts.items()}}


def _ask(sifted: Sifted, models: Models | None) -> dict[str, Any]:
    """Pass rates, then traces; what came of them, for the funnel. Rows that nothing scores are not asked."""
    notes: dict[str, Any] = {}
    if not models or not (models.difficulty or models.distill):
        return notes
    alone = [r for r in sifted.kept if is_for_sft_alone(r.problem)]
    unasked = {id(r) for r in alone}
    scored = [r for r in sifted.kept if id(r) not in unasked]
    if models.difficulty:
        rated = by_pass_rate(scored, models.difficulty, models.asking)
        scored = rated.kept
        sifted.kept = sorted([*scored, *alone], key=lambda r: r.number)
        sifted.drops += rated.drops
        notes |= rated.notes
    if models.distill:
        notes["distill"] = distill(scored, models.distill, models.asking)
    return notes


def _label(rows: list[CuratedRow], steps: Steps, models: Models | None) -> dict[str, Any]:
    model, asking = (models.labels, models.asking) if models else (None, None)
    return label_rows(rows, embeddings=steps.label_embeddings, model=model, asking=asking, progress=steps.progress)


def _then(first: Sifted, second: Sifted) -> Sifted:
    """Return the result of two steps, of which the second worked on the rows that the first kept."""
    return Sifted(second.kept, first.drops + second.drops)


def _leaks(rows: list[CuratedRow], features: Features, held: "_Held", steps: Steps) -> Sifted:
    """Held-out problems in other words, where the recipe asks for that."""
    human = [r for r in rows if not r.procedural]
    if steps.semantic_contamination is None or not human or not held.rows:
        return Sifted(rows)
    own = embed_rows(human, steps.progress)
    threshold = steps.semantic_contamination
    found = semantic_contamination(
        human, features, own, held.rows, held.features, embed_rows(held.rows, steps.progress), threshold
    )
    gone = {d.number for d in found.drops}
    return Sifted([r for r in rows if r.number not in gone], found.drops)


def _copies(rows: list[CuratedRow], features: Features, steps: Steps) -> Sifted:
    """Copies in other words, where the recipe asks for that."""
    human = [r for r in rows if not r.procedural]
    if steps.semantic_duplicates is None or len(human) < 2:
        return Sifted(rows)
    vectors = embed_rows(human, steps.progress)
    found = drop_semantic_duplicates(human, features, vectors, steps.semantic_duplicates)
    gone = {d.number for d in found.drops}
    return Sifted([r for r in rows if r.number not in gone], found.drops)


@dataclass
class _Held:
    """The rows that came through so far, with their features while a later split needs them."""

    rows: list[CuratedRow] = field(default_factory=list)
    features: Features = field(default_factory=lambda: measure([]))

    def add(self, rows: list[CuratedRow], features: Features | None) -> None:
        self.rows += rows
        if features is not None:
            self.features = join([self.features, features.take(np.array([r.place for r in rows], np.int64))])
