"""Walks a recipe: skips what is fresh, goes on with what was interrupted, reruns what changed and all after it."""

import hashlib
import json
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, RingliteError, UserError
from ringlite_cli.freeing import give_back
from ringlite_cli.recipe.graph import parents, run_order
from ringlite_cli.recipe.own_names import own_files
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.deadline import is_over, stop_within
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.folder import lock_run, start_afresh, take_over
from ringlite_cli.runs.manifest import Manifest, describe, now, read_manifest
from ringlite_cli.runs.provenance import code_digest, versions
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.calls import ENDED, call_ranks
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.allocator import use_expandable_segments
from ringlite_cli.stages.walk.failures import as_failure
from ringlite_cli.stages.walk.inputs import changed, check_inputs
from ringlite_cli.stages.walk.watch import WatchedConsole


@dataclass(frozen=True)
class Walk:
    """Which stages of a recipe to walk, and how.

    fresh: rerun them even where nothing changed. max_hours: stop, saved, before so much wall-clock time is over.
    donors: other run folders, whose finished stages are taken over where they are the same work.
    """

    stages: Sequence[str]
    fresh: bool = False
    max_hours: float | None = None
    donors: Sequence[Path] = ()


def choose_stages(recipe: Recipe, first: str | None = None, last: str | None = None) -> list[str]:
    """The stages from `first` to `last` in run order. Raises UserError for a name that the recipe lacks."""
    order = run_order(recipe)
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in order:
            raise UserError(f"the recipe has no stage {name!r}", where=flag, hint=f"stages are {', '.join(order)}")
    start = order.index(first) if first else 0
    end = order.index(last) + 1 if last else len(order)
    if start >= end:
        raise UserError(f"{first!r} comes after {last!r}", where="--from/--to", hint=f"the order is {', '.join(order)}")
    return order[start:end]


def run_pipeline(recipe: Recipe, run: Path, walk: Walk, console: Console) -> None:
    """Runs stages in order inside the run folder. Raises what the failing stage raised; its manifest says the same."""
    use_expandable_segments(recipe)
    with lock_run(run), stop_within(walk.max_hours):
        try:
            write_json(run / "recipe.json", recipe.model_dump(mode="json"))
        except OSError as error:
            raise as_failure(error, run) or error from None
        try:
            for number, name in enumerate(walk.stages, 1):
                if is_over():
                    raise Interrupted(f"the time limit came before {name}; the same command goes on")
                context = Context(recipe, name, run, console)
                _run_stage(context, walk, f"[{number}/{len(walk.stages)}] {name}")
        except BaseException:
            with suppress(OSError):
                call_ranks(run, ENDED)
            raise
        call_ranks(run, None)


def _run_stage(context: Context, walk: Walk, title: str) -> None:
    console, kind, fresh = context.console, KINDS[context.section.kind], walk.fresh
    manifest = _new_manifest(context, kind)
    before = read_manifest(context.folder)
    same = before is not None and before.fingerprint == manifest.fingerprint and not fresh
    if not fresh and not (same and before and before.status == "done"):
        donor = next((run for run in walk.donors if _has_done(run, context.name, manifest.fingerprint)), None)
        if donor is not None:
            take_over(donor, context.run, context.name)
            console.say(f"{title}: the same work is done in {donor}, taken over")
            return
    if same and before and before.status == "done" and _outputs_present(context.run, before):
        console.say(f"{title}: unchanged, skipped ({before.note or 'done'})")
        return
    if same and before:
        console.head(f"{title}: goes on in {context.folder}")
        if before.status == "running":
            console.warn("the last process there ended without a word: it was killed, or the machine went down")
        manifest.started, manifest.seconds = before.started, before.seconds
    else:
        again = f" again, as {changed(before, manifest)} changed" if before and not fresh else ""
        console.head(f"{title}: {kind.summary}{again}")
        if before and before.status == "done":
            console.say(f"  the last result moves to {context.previous}")
        start_afresh(context.run, context.name)
    _work(context, kind, manifest)


def _work(context: Context, kind: StageKind, manifest: Manifest) -> None:
    """Runs a stage between two manifests; whatever ends it is written down before it goes on to the caller."""
    started, spent = time.monotonic(), manifest.seconds
    manifest.started = manifest.started or now()
    try:
        manifest.write(context.folder)
        watched = WatchedConsole(context.folder)
        with watched.hearing():
            check_inputs(context.run, [m for p in manifest.parent if (m := read_manifest(context.run / p))])
            result = kind.run(replace(context, console=watched))
            _finish(context, manifest, result)
        manifest.status, manifest.note, manifest.message = "done", result.summary, result.warning
    except KeyboardInterrupt:
        why = "at the time limit" if is_over() else "by the user"
        manifest.status, manifest.message = "interrupted", f"stopped {why}; the same command goes on"
        raise Interrupted(f"{context.name} {manifest.message}") from None
    except Interrupted as stop:
        manifest.status, manifest.message = "interrupted", str(stop)
        raise Interrupted(f"{context.name}: {stop}") from None
    except Exception as error:
        manifest.status = "failed"
        failure = as_failure(error, context.folder)
        manifest.message = str(failure or error)
        if failure is None:
            _write_traceback(context.folder)
            raise
        raise failure from (None if isinstance(error, RingliteError) else error)
    finally:
        give_back()
        manifest.seconds = round(spent + time.monotonic() - started, 2)
        manifest.finished = now()
        _write_last(manifest, context.folder)
    if result.warning:
        context.console.warn(result.warning)
    context.console.say(f"  {result.summary} ({manifest.seconds:.0f} s) -> {context.folder}")


def _finish(context: Context, manifest: Manifest, result: StageResult) -> None:
    manifest.outputs = {n: describe(p, context.run, result.rows.get(n)) for n, p in result.outputs.items()}
    manifest.tokens, manifest.metrics, manifest.versions = result.tokens, result.metrics, _versions(context.recipe)


def _write_last(manifest: Manifest, folder: Path) -> None:
    """The closing manifest; on a full disk the `running` one stays, and the stage goes on from there."""
    try:
        manifest.write(folder)
    except OSError:
        if manifest.status == "done":
            raise


def _versions(recipe: Recipe) -> dict[str, Any]:
    """What the result is made with; where the recipe lets a model bring its own code, whose code that is."""
    trusted = recipe.model.trust_remote_code
    return versions() | ({"remote_code": recipe.model.path or recipe.model.package} if trusted else {})


_LOGS = ("metrics",)
"""Outputs that hold times, and that no stage reads: the same work leaves another digest each time."""
_WATCHING = ("guard",)
"""Keys that watch over the work: a run that was paused goes on when they are changed."""


def _new_manifest(context: Context, kind: StageKind) -> Manifest:
    recipe, name = context.recipe, context.name
    section = context.section.model_dump(mode="json")
    head = {key: recipe.model_dump(mode="json")[key] for key in kind.uses}
    above = parents(recipe, name)
    made = ((p, n, entry) for p in above for n, entry in context.done(p).outputs.items())
    inputs = {f"{p}/{n}": entry for p, n, entry in made if n not in _LOGS}
    own = own_files(recipe, name, rewards="rewards" in kind.uses)
    inputs |= {n: describe(path, context.run) for n, path in (kind.files(context) | own).items()}
    does = {key: value for key, value in section.items() if key not in _WATCHING}
    depends = [
        does,
        head,
        recipe.seed,
        {n: e["digest"] for n, e in inputs.items()},
        code_digest((*kind.code, *kind.more_code(context.section))),
    ]
    fingerprint = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
    return Manifest(
        stage=name,
        kind=kind.kind,
        status="running",
        fingerprint=fingerprint,
        seed=recipe.seed,
        recipe={**section, **head, "note": recipe.note} if recipe.note else {**section, **head},
        parent=above,
        inputs=inputs,
        versions=_versions(recipe),
    )


def _outputs_present(run: Path, manifest: Manifest) -> bool:
    return all((run / entry["path"]).exists() for entry in manifest.outputs.values())


def _has_done(run: Path, stage: str, fingerprint: str) -> bool:
    """Whether another run has finished a stage of this fingerprint."""
    manifest = read_manifest(run / stage)
    return (
        manifest is not None
        and (manifest.status, manifest.fingerprint) == ("done", fingerprint)
        and _outputs_present(run, manifest)
    )


def _write_traceback(folder: Path) -> None:
    with suppress(OSError):
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
