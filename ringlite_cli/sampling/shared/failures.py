"""How a helper's failure reaches the first rank, which tells the user: once, in the words of one process."""

from pathlib import Path
from typing import Any

from ringlite_cli.errors import RingliteError, UserError, WorkFailed, first_line
from ringlite_cli.runs.files import read_json, write_json


class OtherFiles(WorkFailed):
    """A rank sees other files than the first one: nothing that it draws counts."""


def failure_file(folder: Path, rank: int | None) -> Path:
    """Return the file of a rank's failure in the folder of a job or a session; None: the pattern of all."""
    return folder / f"failed-{'*' if rank is None else rank}.json"


def write_failure(folder: Path, rank: int, error: BaseException) -> None:
    """Write what went wrong on a rank."""
    row: dict[str, Any] = {"rank": rank}
    if isinstance(error, OtherFiles):
        row |= {"kind": "files", "text": str(error)}
    elif isinstance(error, UserError):
        row |= {"kind": "user", "text": str(error)}
    elif isinstance(error, RingliteError):
        row |= {"kind": "failed", "text": str(error)}
    else:
        row |= {"kind": "error", "text": f"{type(error).__name__}: {first_line(error)}"}
    write_json(failure_file(folder, rank), row)


def raise_failures(folder: Path, *, only_files: bool = False) -> None:
    """Raise the failure of the lowest rank that has one: as it was where the user can mend it, else with its rank.

    only_files: those alone that saw other files.
    """
    found = [read_json(file) for file in folder.glob(failure_file(folder, None).name)]
    found = [row for row in found if row["kind"] == "files" or not only_files]
    if not found:
        return
    row = min(found, key=lambda each: int(each["rank"]))
    if row["kind"] == "user":
        raise UserError(row["text"])
    if row["kind"] in ("failed", "files"):
        raise WorkFailed(row["text"])
    raise RuntimeError(f"rank {row['rank']}: {row['text']}")
