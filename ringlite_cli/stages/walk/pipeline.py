"""Walks a recipe: skips what is fresh, goes on with what was interrupted, reruns what changed and all after it."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, RingliteError, UserError, WorkFailed
from ringlite_cli.freeing import give_back
from ringlite_cli.recipe.graph import parents, run_order
from ringlite_cli.recipe.own_names import use_own_code
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.deadline import is_over, stop_within
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.folder import lock_run, make_stage_folder, refuse_held, take_over
from ringlite_cli.runs.manifest import Manifest, describe, give_room, keep_room, now, read_manifest
from ringlite_cli.runs.previous import ERROR, bring_back, put_aside
from ringlite_cli.runs.pulse import seconds_told
from ringlite_cli.runs.ranks import call_ranks, failed_rank, others_end_too, signs_for_others, world_size
from ringlite_cli.runs.stopping import pass_over_a_stop
from ringlite_cli.sampling.keeping import end_engine, engine_of_run
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.parts.going_on import with_change
from ringlite_cli.stages.walk.allocator import use_expandable_segments
from ringlite_cli.stages.walk.decide import Decision, Walk, decide
from ringlite_cli.stages.walk.failures import as_failure, as_told
from ringlite_cli.stages.walk.forecast import Forecast
from ringlite_cli.stages.walk.foresight import foresee
from ringlite_cli.stages.walk.inputs import check_inputs
from ringlite_cli.stages.walk.makers import other_maker, revision_words, versions_of
from ringlite_cli.stages.walk.preflight import check_before
from ringlite_cli.stages.walk.watch import WatchedConsole
from ringlite_cli.terminal.run_log import LOG, title_of
from ringlite_cli.terminal.screen import log_to, screen


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
    """Run stages in order inside the run folder. Raises what the failing stage raised; its manifest says the same.

    What would fail later is looked for first: UserError is raised then, and nothing on disk has moved.
    """
    console.doing(f"{recipe.name}: {', '.join(walk.stages)}; first a look at the model, the data and this machine")
    use_expandable_segments(recipe)
    use_own_code(recipe)
    with others_end_too(run), _told_of_the_disk(run), screen().life("looking at model, data and machine"):
        refuse_held(run)
        foreseen = foresee({name: Context(recipe, name, run, console) for name in walk.stages}, walk)
        check_before(recipe, run, foreseen.at_work, console, foreseen.refusals)
    with lock_run(run), signs_for_others(run), stop_within(walk.max_hours), log_to(run / LOG, title_of(recipe.name)):
        with _told_of_the_disk(run):
            write_json(run / "recipe.json", recipe.model_dump(mode="json"))
        with others_end_too(run), _told_of_the_disk(run):
            console.doing(f"log: {run / LOG}")
            forecast = Forecast(recipe, run, foreseen.at_work)
            with engine_of_run():
                for number, name in enumerate(walk.stages, 1):
                    if is_over():
                        raise Interrupted(f"the time limit came before {name}; the same command goes on")
                    context = Context(recipe, name, run, console)
                    _run_stage(context, walk, f"[{number}/{len(walk.stages)}] {name}", forecast)
        call_ranks(run, None)


@contextmanager
def _told_of_the_disk(run: Path) -> Iterator[None]:
    """Raise a message in place of an error of the file system."""
    try:
        yield
    except OSError as error:
        raise as_failure(error, run) or error from None


def _run_stage(context: Context, walk: Walk, title: str, forecast: Forecast) -> None:
    kind = KINDS[context.section.kind]
    made = {parent: context.done(parent) for parent in parents(context.recipe, context.name)}
    decision = decide(context, walk, made)
    if decision.action == "keep":
        _say_kept(context, kind, decision, title)
        return
    if decision.action in ("bring back", "take over"):
        decision = _fetch(context, decision, title)
        if decision.standing:
            return
    manifest, before = decision.manifest, decision.before
    if decision.action == "go on" and before:
        _go_on(context, kind, decision, title)
    else:
        changes = decision.changes.words() if decision.changes else ""
        again = f" again, as {changes} changed" if changes else ""
        context.console.head(f"{title}: {kind.summary}{again}")
        _tell_of_elsewhere(context, kind, decision)
        _put_aside(context, decision)
        make_stage_folder(context.run, context.name)
    forecast.begin(context.name)
    with screen().life(context.name):
        _work(context, kind, manifest, WatchedConsole(context.folder, forecast))


def _tell_of_elsewhere(context: Context, kind: StageKind, decision: Decision) -> None:
    """Warn where the training that starts from its first step is under way in another run."""
    if decision.elsewhere and kind.step_of:
        run, step = decision.elsewhere.folder.parent, kind.step_of(decision.elsewhere.folder)
        what = f"{run} holds the same training, interrupted after step {step}, and this one starts from the first step"
        context.console.warn(f"{what}; to go on there instead, stop this and add --set name={run.name}")


def _say_kept(context: Context, kind: StageKind, decision: Decision, title: str) -> None:
    before = decision.before
    assert before is not None
    context.console.say(f"{title}: unchanged, skipped ({before.note or 'done'})")
    if maker := other_maker(before, decision.manifest.versions):
        words = revision_words(kind, before)
        since = f"; its results changed since: {words}" if words else ""
        context.console.say(f"  kept: made by {maker}{since}; --from {context.name} --fresh remakes it")


def _fetch(context: Context, decision: Decision, title: str) -> Decision:
    """Put an old result, or that of another run, in the stage's place; an unfinished one is continued."""
    source = decision.source
    assert source is not None
    _put_aside(context, decision)
    if decision.action == "take over":
        take_over(source.folder, context.run, context.name)
        context.console.say(f"{title}: the same work is done in {source.folder}, taken over")
        return decision
    bring_back(source, context.run)
    if decision.standing:
        context.console.say(f"{title}: done before, taken back from {source.folder}")
        return decision
    context.console.say(f"{title}: taken back from {source.folder}")
    return replace(decision, action="go on", before=source.manifest, source=None, changes=None)


def _put_aside(context: Context, decision: Decision) -> None:
    if (kept := put_aside(context.run, context.name, decision.fingerprint_before)) is not None:
        context.console.say(f"  the last result moves to {kept}; `ringlite clean {context.run}` lists what is kept")


def _go_on(context: Context, kind: StageKind, decision: Decision, title: str) -> None:
    """Report that a stage resumes, and write into its new manifest which keys change from which step on."""
    manifest, before, console = decision.manifest, decision.before, context.console
    assert before is not None
    console.head(f"{title}: goes on in {context.folder}")
    if before.status == "running":
        said = f"; {context.run / LOG} ends with what it said last"
        console.warn(f"the last process there ended without a word: it was killed, or the machine went down{said}")
    killed = seconds_told(context.folder) if before.status == "running" else 0.0  # which its manifest does not count
    manifest.started, manifest.seconds, manifest.changes = before.started, before.seconds + killed, list(before.changes)
    step = (kind.step_of(context.folder) if kind.step_of else None) or 0
    entry: dict[str, Any] = {}
    if decision.changes and decision.changes.keys:
        entry["keys"] = {name: list(values) for name, values in decision.changes.keys.items()}
        console.say(f"  from step {step} on with {decision.changes.words()}")
        if note := kind.note_of(context.section, decision.changes.keys) if kind.note_of else "":
            console.say(f"  {note}")
    if maker := other_maker(before, manifest.versions):
        entry["made_by"] = maker
        console.say(f"  it began with {maker}, and goes on with what is installed now")
    if entry:
        manifest.changes = with_change(manifest.changes, {"step": step, **entry})


def _work(context: Context, kind: StageKind, manifest: Manifest, watched: WatchedConsole) -> None:
    """Run a stage, with a manifest written before and after; a failure is written down before it is raised again."""
    started, spent = time.monotonic(), manifest.seconds
    manifest.started = manifest.started or now()
    try:
        manifest.write(context.folder)
        (context.folder / ERROR).unlink(missing_ok=True)  # of an earlier attempt
        keep_room(context.folder)
        with watched.hearing():
            check_inputs(context.run, [m for p in manifest.parent if (m := read_manifest(context.run / p))])
            _end_engine_before(context, kind)
            result = kind.run(replace(context, console=watched))
            _finish(context, manifest, result)
        manifest.status, manifest.note, manifest.message = "done", result.summary, result.warning
    except KeyboardInterrupt:
        if failed := failed_rank(context.run):  # a launcher stops all ranks then
            manifest.status, manifest.message = "failed", f"{context.folder}: {failed}"
            raise WorkFailed(manifest.message) from None
        why = "at the time limit" if is_over() else "by the user"
        manifest.status, manifest.message = "interrupted", f"stopped {why}; the same command goes on"
        raise Interrupted(f"{context.name} {manifest.message}") from None
    except Interrupted as stop:
        manifest.status, manifest.message = "interrupted", str(stop)
        raise Interrupted(f"{context.name}: {stop}") from None
    except Exception as error:
        manifest.status = "failed"
        if world_size() > 1:
            pass_over_a_stop()
        failure = as_told(error, context.folder)
        manifest.message = str(failure or error)
        _give_room(context.folder)
        if failure is not error:
            _write_traceback(context.folder)
        if failure is None:
            raise
        raise failure from (None if isinstance(error, RingliteError) else error)
    finally:
        give_back()
        manifest.seconds = round(spent + time.monotonic() - started, 2)
        manifest.finished = now()
        _write_last(manifest, context.folder)
    with suppress(OSError):
        result.when_done()
    if result.warning:
        context.console.warn(result.warning)
    context.console.say(f"  {result.summary} ({manifest.seconds:.0f} s) -> {context.folder}")


def _end_engine_before(context: Context, kind: StageKind) -> None:
    """End the engine of the stages before where this one cannot go on with it, or needs memory for a reward model."""
    goes_on = kind.draws(context.section) or kind.goes_on_with_engine(context.section)
    if not goes_on or context.recipe.rewards.reward_model:
        end_engine()


def _finish(context: Context, manifest: Manifest, result: StageResult) -> None:
    manifest.outputs = {n: describe(p, context.run, result.rows.get(n)) for n, p in result.outputs.items()}
    manifest.tokens, manifest.metrics, manifest.versions = (
        result.tokens,
        result.metrics,
        versions_of(context.recipe, KINDS[context.section.kind], context.section),
    )


def _give_room(folder: Path) -> None:
    with suppress(OSError):
        give_room(folder)


def _write_last(manifest: Manifest, folder: Path) -> None:
    """The closing manifest; where it can't be written the `running` one stays, and the stage goes on from there."""
    _give_room(folder)
    try:
        manifest.write(folder)
    except OSError:
        if manifest.status == "done":
            raise


def _write_traceback(folder: Path) -> None:
    with suppress(OSError):
        (folder / ERROR).write_text(traceback.format_exc(), encoding="utf-8")
