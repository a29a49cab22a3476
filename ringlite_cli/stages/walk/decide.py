"""What is to be done about a stage: keep its result, take an old one back, go on, or start; nothing is moved here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.graph import parents
from ringlite_cli.recipe.own_names import own_files
from ringlite_cli.recipe.section import Section
from ringlite_cli.runs.manifest import Manifest, describe, read_manifest
from ringlite_cli.runs.previous import Kept, kept_results
from ringlite_cli.stages.base import Context, StageKind
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.identity import Changes, Identity, head_of, identity, identity_of, is_needed
from ringlite_cli.stages.walk.makers import versions_of

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
    """

    action: Action
    manifest: Manifest
    before: Manifest | None = None
    fingerprint_before: str = "unknown"
    source: Kept | None = None
    changes: Changes | None = None

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
    kind = KINDS[context.section.kind]
    manifest, wanted = new_manifest(context, kind, made)
    before = read_manifest(context.folder)
    head = head_of(context.recipe, kind.uses_of(context.section))
    there = identity_of(before, context.section, head) if before else None
    decision = Decision("start", manifest, before, there.fingerprint if there else "unknown")
    if walk.fresh:
        return decision
    if before and there and there.fingerprint == wanted.fingerprint:
        done = before.status == "done" and outputs_present(context.folder, context.run, before)
        return replace(decision, action="keep" if done else "go on")
    olds = [old for old in kept_results(context.run, context.name) if _is_same(old, wanted, context.section, head)]
    if old := next((old for old in olds if _is_done(old, context.run)), None):
        return replace(decision, action="bring back", source=old)
    if donor := _donor(walk.donors, context, wanted, head):
        return replace(decision, action="take over", source=donor)
    if olds:
        return replace(decision, action="bring back", source=olds[0])
    if before is None or there is None:
        return decision
    changes = there.changes_to(wanted)
    if _is_at_work(kind, before, context.folder):
        if changes.only_length or (walk.go_on and not changes.fixed):
            return replace(decision, action="go on", changes=changes)
        if changes.keys:
            raise _refusal(context, kind, changes, walk)
    return replace(decision, changes=changes)


def check_pending(context: Context, walk: Walk) -> None:
    """Raise UserError as `decide` does for a stage whose inputs are still to be made, by its keys alone."""
    kind, before = KINDS[context.section.kind], read_manifest(context.folder)
    if before is None or walk.fresh or not _is_at_work(kind, before, context.folder):
        return
    head = head_of(context.recipe, kind.uses_of(context.section))
    there = identity_of(before, context.section, head)
    now = identity(kind.kind, context.section, head, context.recipe.seed, there.inputs)
    changes = there.changes_to(now)
    if changes.keys and not changes.only_length and not (walk.go_on and not changes.fixed):
        if any(_is_same(old, now, context.section, head) for old in kept_results(context.run, context.name)):
            return
        raise _refusal(context, kind, changes, walk)


def _refusal(context: Context, kind: StageKind, changes: Changes, walk: Walk) -> UserError:
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


def _is_at_work(kind: StageKind, before: Manifest, folder: Path) -> bool:
    """Whether a training stage was stopped after a checkpoint."""
    return kind.step_of is not None and before.status != "done" and bool(kind.step_of(folder))


def _is_same(old: Kept, wanted: Identity, section: Section, head: Mapping[str, object]) -> bool:
    manifest = old.manifest
    return (
        manifest is not None
        and manifest.kind == wanted.kind
        and identity_of(manifest, section, head).fingerprint == wanted.fingerprint
    )


def _is_done(old: Kept, run: Path) -> bool:
    return old.manifest is not None and old.manifest.status == "done" and outputs_present(old.folder, run, old.manifest)


def _donor(donors: Iterable[Path], context: Context, wanted: Identity, head: Mapping[str, object]) -> Kept | None:
    """A finished stage of the same name and identity in another run, or among its old results."""
    for run in donors:
        here = read_manifest(run / context.name)
        lying = [Kept(context.name, run / context.name, here)] if here else []
        for old in (*lying, *kept_results(run, context.name)):
            plain = old.manifest is not None and not old.manifest.changes
            if plain and _is_done(old, run) and _is_same(old, wanted, context.section, head):
                return old
    return None


def outputs_present(folder: Path, run: Path, manifest: Manifest) -> bool:
    """Whether the outputs are there, those in the stage's own folder looked for in `folder`."""
    return all(place_of(folder, run, manifest.stage, entry["path"]).exists() for entry in manifest.outputs.values())


def place_of(folder: Path, run: Path, stage: str, path: str) -> Path:
    """Return where an output lies: below the stage's folder, wherever that is kept, or elsewhere in the run."""
    return folder / path.removeprefix(f"{stage}/") if path.startswith(f"{stage}/") else run / path


def new_manifest(context: Context, kind: StageKind, made: Mapping[str, Manifest]) -> tuple[Manifest, Identity]:
    """Return the manifest of a stage that begins now, and its identity."""
    recipe, section = context.recipe, context.section
    head = head_of(recipe, kind.uses_of(section))
    above = parents(recipe, context.name)
    outputs = {f"{p}/{name}": entry for p in above for name, entry in made[p].outputs.items()}
    inputs = {name: entry for name, entry in outputs.items() if is_needed(section, name)}
    files = kind.files(context) | own_files(recipe, context.name, rewards="rewards" in kind.uses)
    inputs |= {name: describe(path, context.run) for name, path in files.items()}
    known = identity(kind.kind, section, head, recipe.seed, {name: e["digest"] for name, e in inputs.items()})
    dumped = recipe.model_dump(mode="json")
    resolved = {**section.model_dump(mode="json"), **{name: dumped[name] for name in head}}
    manifest = Manifest(
        stage=context.name,
        kind=kind.kind,
        status="running",
        fingerprint=known.fingerprint,
        seed=recipe.seed,
        recipe=resolved | ({"note": recipe.note} if recipe.note else {}),
        parent=above,
        inputs=inputs,
        versions=versions_of(recipe, kind, section),
        revision=kind.revision,
    )
    return manifest, known


@dataclass
class Foreseen:
    """What a walk is about to do.

    at_work: the stages that have to work, as far as is known. refusals: of interrupted stages that can't go on.
    """

    at_work: list[str] = field(default_factory=list)
    refusals: list[UserError] = field(default_factory=list)


def foresee(context_of: Mapping[str, Context], walk: Walk) -> Foreseen:
    """Decide about all stages of a walk as far as that is possible before any of them works.

    A stage that reads one which has to work is at work too. Raises UserError where a stage reads one that is neither
    done nor in the walk.
    """
    found, made = Foreseen(), dict[str, Manifest]()
    for name in walk.stages:
        context = context_of[name]
        above = parents(context.recipe, name)
        for parent in above:
            if parent not in made and parent not in found.at_work:
                made[parent] = context.done(parent)
        try:
            if any(parent in found.at_work for parent in above):
                check_pending(context, walk)
                standing = None
            else:
                standing = decide(context, walk, made).standing
        except UserError as refusal:
            found.refusals.append(refusal)
            standing = None
        if standing:
            made[name] = standing
        else:
            found.at_work.append(name)
    return found
