"""What is to be done about a stage: keep its result, take an old one back, go on, or start; nothing is moved here."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ringlite_cli.errors import UserError
from ringlite_cli.presence import is_folder, is_taken, is_there
from ringlite_cli.runs.manifest import FILE, Manifest, read_manifest
from ringlite_cli.runs.previous import Kept, holds_work, kept_results
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.stages.base import Context, StageKind
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.identity import Changes, Identity
from ringlite_cli.stages.walk.making import Comparison, new_manifest

log = logging.getLogger(__name__)

Action = Literal["keep", "bring back", "take over", "go on", "start"]


@dataclass(frozen=True)
class Walk:
    """Which stages of a recipe to walk, and how.

    fresh: rerun them even where nothing changed. go_on: interrupted training goes on with changed keys.
    max_hours: stop, saved, before so much wall-clock time is over. donors: other run folders, whose finished stages
    are taken over where they are the same work.
    """

    stages: Sequence[str]
    fresh: bool = False
    max_hours: float | None = None
    donors: Sequence[Path] = ()
    go_on: bool = False


@dataclass(frozen=True)
class Decision:
    """What is to be done about a stage, and with what.

    manifest: the stage's new one. before: the one that lies in its place. fingerprint_before: of the work there.
    source: the folder of an old result. changes: what differs from the work that lies there, or that is gone on with.
    elsewhere: of a stage that starts, the same work in another run, which was interrupted there.
    """

    action: Action
    manifest: Manifest
    before: Manifest | None = None
    fingerprint_before: str = "unknown"
    source: Kept | None = None
    changes: Changes | None = None
    elsewhere: Kept | None = None

    @property
    def standing(self) -> Manifest | None:
        """Return the manifest that stands without any work; None where the stage has to work."""
        if self.action == "keep":
            return self.before
        found = self.source.manifest if self.source else None
        return found if self.action in ("bring back", "take over") and found and found.status == "done" else None


def decide(context: Context, walk: Walk, made: Mapping[str, Manifest]) -> Decision:
    """Return what is to be done about a stage. made: the manifests of the stages that it reads.

    Raises UserError where an interrupted training stage would have to begin again, and nobody said that it may.
    """
    refuse_in_the_way(context.folder)
    kind = KINDS[context.section.kind]
    before = read_manifest(context.folder)
    manifest, wanted = new_manifest(context, kind, made, before)
    same = Comparison.of(context, kind, manifest)
    there = same.identity_of(before) if before else None
    decision = Decision("start", manifest, before, there.fingerprint if there else "unknown")
    if walk.fresh:
        return decision
    if before is None:
        refuse_nameless(context)
    if before and there and there.fingerprint == wanted.fingerprint:
        done = before.status == "done" and outputs_present(context.folder, context.run, before)
        if not done and is_at_work(kind, before, context.folder):
            refuse_other_ranks(context, kind)
        return replace(decision, action="keep" if done else "go on")
    olds = [old for old in kept_results(context.run, context.name) if same.is_as(wanted, old)]
    if old := next((old for old in olds if _is_done(old, context.run)), None):
        return replace(decision, action="bring back", source=old)
    if donor := _donor(walk.donors, context, wanted, same):
        return replace(decision, action="take over", source=donor)
    if olds:
        return replace(decision, action="bring back", source=olds[0])
    if before is None or there is None:
        return replace(decision, elsewhere=_interrupted_in(walk.donors, context, kind, wanted, same))
    changes = there.changes_to(wanted)
    if is_at_work(kind, before, context.folder):
        refuse_past_the_end(context, kind)
        if changes.only_length or (walk.go_on and not changes.fixed):
            refuse_other_ranks(context, kind)
            return replace(decision, action="go on", changes=changes)
        if changes.keys or not are_of_parents(changes.inputs, manifest.parent):
            raise refusal(context, kind, changes, walk)
    return replace(decision, changes=changes)


def refuse_past_the_end(context: Context, kind: StageKind) -> None:
    """Raise UserError where an interrupted stage has trained more steps than it is to train."""
    done = (kind.step_of(context.folder) if kind.step_of else None) or 0
    wanted = kind.steps_of(context.section, context.folder)
    if wanted is not None and done > wanted:
        raise UserError(
            f"it is at step {done} already, and {wanted} are asked for: nothing would be trained",
            where=f"stages.{context.name}",
            hint=f"give more, or begin it again with --from {context.name} --fresh (the checkpoints are kept)",
        )


def refuse_other_ranks(context: Context, kind: StageKind) -> None:
    """Raise UserError where an interrupted stage was saved by another number of ranks than this launch has."""
    before, now = kind.ranks_of(context.folder), world_size()
    if before is not None and before != now:
        raise UserError(
            f"its last checkpoint was saved by {before} rank{'s' if before != 1 else ''}; training can't resume from "
            f"it on {now}",
            where=f"stages.{context.name}",
            hint=f"launch it on {before}, or begin it again with --from {context.name} --fresh",
        )


def are_of_parents(inputs: Iterable[str], parents: Collection[str]) -> bool:
    """Return whether all these inputs are outputs of stages above, which this or an earlier walk was to make anew."""
    return all(name.partition("/")[0] in parents for name in inputs)


def refuse_in_the_way(folder: Path) -> None:
    """Raise UserError where something else than a folder has the name of a stage's folder."""
    if is_taken(folder) and not is_folder(folder):
        what = "a file, or a link that leads nowhere, is where the stage's folder belongs"
        raise UserError(what, where=str(folder), hint="move it away")


def refuse_nameless(context: Context) -> None:
    """Raise UserError where a stage's folder holds work whose manifest is damaged: what it is of is not known."""
    if is_there(context.folder / FILE) and holds_work(context.folder):
        raise UserError(
            "the stage's manifest can't be read, so its files can't be trusted",
            where=str(context.folder / FILE),
            hint=f"put it back, or give --from {context.name} --fresh to begin again (what is there is kept aside)",
        )


def refusal(context: Context, kind: StageKind, changes: Changes, walk: Walk) -> UserError:
    step = kind.step_of(context.folder) if kind.step_of else None
    what = f"it is interrupted after step {step}, and {changes.words()} changed since"
    begin = f"--from {context.name} --fresh begins it again (the checkpoints are kept aside)"
    if changes.fixed:
        return UserError(
            f"{what}; it can't go on from its checkpoint with another {changes.fixed_words()}",
            where=f"stages.{context.name}",
            hint=begin,
        )
    return UserError(
        what, where=f"stages.{context.name}", hint=f"--go-on continues from there with the new value, {begin}"
    )


def is_at_work(kind: StageKind, before: Manifest, folder: Path) -> bool:
    """Return whether a training stage was stopped after a checkpoint."""
    return kind.step_of is not None and before.status != "done" and bool(kind.step_of(folder))


def _is_done(old: Kept, run: Path) -> bool:
    return old.manifest is not None and old.manifest.status == "done" and outputs_present(old.folder, run, old.manifest)


def _donor(donors: Iterable[Path], context: Context, wanted: Identity, same: Comparison) -> Kept | None:
    """A finished stage of the same name and identity in another run, or among its old results.

    A run that cannot be read, for want of permission say, gives nothing and stops nobody.
    """
    for run in donors:
        try:
            found = _given_by(run, context, wanted, same)
        except OSError as error:
            log.warning("nothing is taken over from %s: it can't be read (%s)", run, error.strerror or error)
            continue
        if found:
            return found
    return None


def _given_by(run: Path, context: Context, wanted: Identity, same: Comparison) -> Kept | None:
    here = read_manifest(run / context.name)
    lying = [Kept(context.name, run / context.name, here)] if here else []
    for old in (*lying, *kept_results(run, context.name)):
        plain = old.manifest is not None and not old.manifest.changes
        if plain and _is_done(old, run) and same.is_as(wanted, old):
            return old
    return None


def _interrupted_in(
    runs: Iterable[Path], context: Context, kind: StageKind, wanted: Identity, same: Comparison
) -> Kept | None:
    """The same training, stopped after a checkpoint, in another run: in one that was renamed or copied, say."""
    for run in runs:
        with suppress(OSError):
            there = read_manifest(run / context.name)
            old = Kept(context.name, run / context.name, there)
            if there and is_at_work(kind, there, old.folder) and same.is_as(wanted, old):
                return old
    return None


def outputs_present(folder: Path, run: Path, manifest: Manifest) -> bool:
    """Return whether the outputs are there, those in the stage's own folder looked for in `folder`."""
    return all(is_there(place_of(folder, run, manifest.stage, entry["path"])) for entry in manifest.outputs.values())


def place_of(folder: Path, run: Path, stage: str, path: str) -> Path:
    """Return where an output lies: below the stage's folder, wherever that is kept, or elsewhere in the run."""
    return folder / path.removeprefix(f"{stage}/") if path.startswith(f"{stage}/") else run / path
