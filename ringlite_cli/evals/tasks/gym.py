"""Rows of reasoning-gym, made on the spot with a fixed seed or read from a file, for the tasks that it scores."""

from typing import Any

from ringlite_cli.data.games.base import ASK
from ringlite_cli.data.games.drawing import as_answer, held_rows
from ringlite_cli.data.games.making import Maker, is_installed
from ringlite_cli.errors import UserError
from ringlite_cli.evals.tasks.base import Parts, SourceRow


def make_rows(kind: str) -> list[dict[str, Any]]:
    """The problems of a kind that curation keeps out of its splits; the same for one version of reasoning-gym.

    Raises UserError where reasoning-gym is not installed, or lacks the kind.
    """
    if not is_installed():
        raise UserError(
            "its problems are made by reasoning-gym, which is not installed",
            where=f"task {kind}",
            hint=f"pip install 'ringlite[gym]' (it needs a C compiler), or give a file: --data {kind}=FILE",
        )
    with Maker() as maker:
        if kind not in maker.games():
            raise UserError(
                "the installed reasoning-gym has no such game",
                where=f"task {kind}",
                hint=f"pip install -U reasoning-gym, or give a file: --data {kind}=FILE",
            )
        return held_rows(kind, maker)


def to_problem(row: SourceRow) -> Parts:
    if not row["metadata"]["source_dataset"]:
        raise ValueError("no source_dataset")
    return Parts(row["question"].rstrip() + ASK, as_answer(row))
