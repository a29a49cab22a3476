"""`RUN:POLICY` as the folder of a policy, with what its run knows of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, near
from ringlite_cli.models.refused import ADAPTER, MERGED, adapter_fault
from ringlite_cli.recipe.graph import BASE
from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.folder import check_is_folder
from ringlite_cli.runs.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class Policy:
    """A policy: its folder or hub id. run, name: where it came from; None and "" for a model that no run made.

    manifests: of the run's finished stages. recipe: the run's, as JSON.
    """

    path: str
    run: Path | None
    name: str
    manifests: Mapping[str, Manifest]
    recipe: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.path)

    def suffix(self, domain: str) -> str:
        """Return what the run's prompts of a domain end with. Raises UserError for a domain that it has none of."""
        known = self.recipe.get("prompt_suffix") or {}
        if domain not in known:
            hint = f"it has one for {', '.join(known)}" if known else "it has none at all"
            raise UserError(f"the run's prompts of {domain!r} have no suffix", where="--domain", hint=hint)
        return str(known[domain])


def find_policy(text: str) -> Policy:
    """Find `RUN:POLICY`, `RUN` (its last policy), a model's folder, or a hub id.

    Raises UserError where there is none, or the stage that makes it is not done.
    """
    folder, sign, name = text.rpartition(":")
    if not sign or Path(text).exists():
        folder, name = text, ""
    run = Path(folder).expanduser()
    if (run / "config.json").is_file() and not name:
        return Policy(str(run), None, "", {}, {})
    if (run / ADAPTER).is_file() and not name:
        raise UserError(adapter_fault(run), where=text, hint=MERGED)
    if not run.is_dir():
        if not name and not folder.startswith((".", "/", "~")) and folder.count("/") == 1 and not run.parent.is_dir():
            return Policy(folder, None, "", {}, {})
        check_is_folder(run, policy=name, other=", or a model's folder")
    return _of_run(run, name)


def _of_run(run: Path, name: str) -> Policy:
    found = {path.parent.name: read_manifest(path.parent) for path in sorted(run.glob("*/manifest.json"))}
    manifests = {stage: m for stage, m in found.items() if m is not None}
    if not manifests:
        raise UserError("not a run: no stage in it has a manifest", where=str(run), hint="give runs/<recipe name>")
    recipe = _recipe(run)
    order = [stage for stage in recipe.get("stages", {}) if stage in manifests]
    order += [stage for stage in manifests if stage not in order]
    manifests = {stage: manifests[stage] for stage in order}
    policies = {s: manifests[s].outputs["policy"]["path"] for s in order if "policy" in manifests[s].outputs}
    bases = [m.outputs[BASE]["path"] for m in manifests.values() if BASE in m.outputs]
    if bases:
        policies = {BASE: bases[0]} | policies
    done = {p: path for p, path in policies.items() if p == BASE or manifests[p].status == "done"}
    if not name:
        if not done:
            raise UserError("no stage of it has made a policy yet", where=str(run), hint="`ringlite status` says more")
        name = list(done)[-1]
    if name not in done:
        state = f"stage {name!r} is {manifests[name].status}" if name in manifests else f"it has no policy {name!r}"
        hint = near(name, done, f"it has {', '.join(done) or 'none yet'}")
        raise UserError(state, where=str(run), hint=hint)
    path = run / done[name]
    if not (path / "config.json").is_file():
        raise UserError(f"the policy {name!r} is gone", where=str(path), hint="rerun its stage with --fresh")
    return Policy(str(path), run, name, manifests, recipe)


def _recipe(run: Path) -> dict[str, Any]:
    try:
        found = read_json(run / "recipe.json")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
