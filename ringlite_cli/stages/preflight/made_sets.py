"""The problems of curated sets that lie there already, for checks of the stages that read them."""

from ringlite_cli.presence import is_file
from ringlite_cli.problems import Problem
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.stages.base import Context


def made_set(context: Context, reference: str) -> list[Problem] | None:
    """Return the problems of a set whose stage is done and stays as it is; None where it is still to be made."""
    stage, _, name = reference.partition(".")
    manifest = read_manifest(context.run / stage)
    if manifest is None or manifest.status != "done" or name not in manifest.outputs or stage in context.pending:
        return None
    path = context.run / manifest.outputs[name]["path"]
    return context.problems(reference) if is_file(path) else None
