"""`ringlite export RUN:POLICY DIR`: weights, model card, data card and manifests in one folder, for others to use."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError, WorkFailed, first_line, not_done
from ringlite_cli.runs.folder import copy_folder
from ringlite_cli.stages.commands.policies.find import Policy, find_policy
from ringlite_cli.stages.commands.policies.model_card import lineage, model_card

_LEFT_OUT = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "trainer_state.json", "training_args.bin",
             "ringlite*.json", "*.partial", ".*", "README.md")  # fmt: skip
"""Files of a checkpoint folder that are no part of the model."""
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def export(text: str, target: Path, console: Console, *, push: str = "", public: bool = False) -> None:
    """Write the folder; with `push`, upload it to a new repository of the hub too.

    Raises UserError before anything is written where the folder is taken, there is no policy, or the repository's name
    is none.
    """
    policy = find_policy(text)
    if policy.run is None:
        raise UserError("this is no run's policy", where=text, hint="give RUN:POLICY, as runs/demo:rl-mixed")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError("it is there already, and is left as it is", where=str(target), hint="give a new folder")
    if push and not _REPO.fullmatch(push):
        raise UserError(f"{push!r} is no repository", where="--push", hint="write OWNER/NAME")
    _write(policy, target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    console.say(f"wrote {target} ({size / 2**20:,.0f} MiB): weights, README.md, manifests and data card")
    if push:
        console.say(f"pushed: {_push(target, push, public=public)}")
    else:
        console.say(f"read {target / 'README.md'} before you publish it: its licence is yours to say")


def _write(policy: Policy, target: Path) -> None:
    """Fill a folder beside the target, and give it its name once it is whole."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        copy_folder(policy.folder, partial, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        provenance = partial / "provenance"
        provenance.mkdir()
        for source, name in _papers(policy):
            shutil.copyfile(source, provenance / name)
        (partial / "README.md").write_text(model_card(policy), encoding="utf-8")
        if target.is_dir():
            target.rmdir()  # empty
        partial.rename(target)
    except OSError as error:
        raise not_done("it can't be written", error, where=str(target)) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _papers(policy: Policy) -> Iterator[tuple[Path, str]]:
    """What tells how the policy was made: the recipe, the manifests of its stages and of its evaluation, data cards."""
    assert policy.run is not None
    found = [(policy.run / "recipe.json", "recipe.json")]
    scored = [stage for stage, manifest in policy.manifests.items() if manifest.kind == "eval"]
    for stage in [*lineage(policy), *scored]:
        found += [
            (policy.run / stage / "manifest.json", f"{stage}.manifest.json"),
            (policy.run / stage / "CARD.md", "DATA_CARD.md" if stage == "curate" else f"{stage}.DATA_CARD.md"),
            (policy.run / stage / "scores.json", f"{stage}.scores.json"),
        ]
    return ((source, name) for source, name in found if source.is_file())


def _push(folder: Path, repo: str, *, public: bool) -> str:
    """Upload the folder into a new repository, private where nothing else is asked for; return its address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi()
    try:
        address = str(api.create_repo(repo, private=not public, exist_ok=False))
        api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message="Exported by ringlite")
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status == 409:
            raise UserError("the repository is there already, and is left as it is", where=f"--push {repo}") from None
        raise WorkFailed(f"the hub refuses it ({first_line(error)})", where=f"--push {repo}") from None
    except (LocalTokenNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise WorkFailed(
            f"the hub can't be reached ({first_line(error)})",
            where=f"--push {repo}",
            hint=f"log in with `hf auth login`; {folder} is whole, and `hf upload {repo} {folder}` uploads it",
        ) from None
    return address
