"""The manifest of a stage that begins now: what it reads, from the run and from outside, and what it is known by."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.presence import is_there
from ringlite_cli.recipe.graph import parents
from ringlite_cli.recipe.own_names import own_files
from ringlite_cli.runs.manifest import Manifest, describe
from ringlite_cli.runs.model_files import describe_model
from ringlite_cli.runs.previous import Kept
from ringlite_cli.stages.base import Context, StageKind
from ringlite_cli.stages.walk.identity import Identity, head_of, identity, identity_of, is_needed
from ringlite_cli.stages.walk.makers import versions_of


def new_manifest(
    context: Context, kind: StageKind, made: Mapping[str, Manifest], before: Manifest | None = None
) -> tuple[Manifest, Identity]:
    """Return the manifest of a stage that begins now, and its identity. before: the manifest that lies there."""
    outputs = {
        f"{p}/{name}": entry for p in parents(context.recipe, context.name) for name, entry in made[p].outputs.items()
    }
    inputs = {name: entry for name, entry in outputs.items() if is_needed(context.section, name)}
    return manifest_by(context, kind, inputs | outside_inputs(context, kind, before))


def outside_inputs(context: Context, kind: StageKind, before: Manifest | None) -> dict[str, dict[str, Any]]:
    """Return, as a manifest has them, the files and models from outside the run that a stage reads.

    Of those that are gone, what the manifest before says holds: a result does not change by what is taken away.
    """
    files = kind.files(context) | own_files(context.recipe, context.name, rewards="rewards" in kind.uses)
    found: dict[str, dict[str, Any]] = {}
    for name, path in files.items():
        there = path is not None and is_there(path)
        found |= {name: describe(path, context.run)} if path and there else _as_before(name, None, before)
    for name, path in kind.models(context).items():
        found |= {name: describe_model(path)} if is_there(path) else _as_before(name, path, before)
    return found


def _as_before(name: str, path: Path | None, before: Manifest | None) -> dict[str, dict[str, Any]]:
    """The inputs of this name, or below it, that a manifest has; path: where they were, None for wherever that was."""
    named = {
        known: entry
        for known, entry in (before.inputs.items() if before else ())
        if known == name or known.startswith(f"{name}/")
    }
    return {known: entry for known, entry in named.items() if path is None or Path(entry["path"]) == path}


def manifest_by(context: Context, kind: StageKind, inputs: Mapping[str, dict[str, Any]]) -> tuple[Manifest, Identity]:
    """Return the manifest of a stage that reads these inputs, and its identity."""
    recipe, section = context.recipe, context.section
    head = head_of(recipe, kind.uses_of(section))
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
        parent=parents(recipe, context.name),
        inputs=dict(inputs),
        versions=versions_of(recipe, kind, section),
        revision=kind.revision,
    )
    return manifest, known


@dataclass(frozen=True)
class Comparison:
    """What manifests are compared by with the recipe of now."""

    section: Any
    head: Mapping[str, Any]
    models: Mapping[str, str]

    @classmethod
    def of(cls, context: Context, kind: StageKind, manifest: Manifest) -> "Comparison":
        """Return that of a stage. manifest: its new one, which tells of the models."""
        models = {name: manifest.inputs[name]["digest"] for name in kind.models(context) if name in manifest.inputs}
        return cls(context.section, head_of(context.recipe, kind.uses_of(context.section)), models)

    def identity_of(self, manifest: Manifest) -> Identity:
        """Return the identity of the stage that a manifest tells of."""
        return identity_of(manifest, self.section, self.head, self.models)

    def is_as(self, wanted: Identity, old: Kept) -> bool:
        """Return whether an old result is of the same work."""
        manifest = old.manifest
        if manifest is None or manifest.kind != wanted.kind:
            return False
        return self.identity_of(manifest).fingerprint == wanted.fingerprint
