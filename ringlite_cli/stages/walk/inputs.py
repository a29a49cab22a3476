"""Whether what a stage is about to read is what the stages before it wrote."""

from collections.abc import Sequence
from pathlib import Path

from ringlite_cli.errors import UserError
from ringlite_cli.presence import is_there
from ringlite_cli.runs.files import digest
from ringlite_cli.runs.manifest import Manifest


def check_inputs(run: Path, parents: Sequence[Manifest]) -> None:
    """Raise UserError, naming the file, where an output of an earlier stage is gone or not as it was written.

    Results made from it would stand under a manifest that names other data.
    """
    seen: set[str] = set()
    for parent in parents:
        for name, entry in parent.outputs.items():
            path = run / entry["path"]
            if entry["path"] in seen:
                continue
            seen.add(entry["path"])
            there = is_there(path)
            if not there or digest(path) != entry["digest"]:
                state = "changed since" if there else "is gone that"
                raise UserError(
                    f"{name} {state} stage {parent.stage!r} wrote it",
                    where=str(path),
                    hint=f"put it back, or make it again with --from {parent.stage} --fresh",
                )
