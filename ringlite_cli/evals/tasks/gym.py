"""Rows of reasoning-gym, made on the spot with a fixed seed or read from a file, for the tasks that it scores."""

import json
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.evals.tasks.base import Parts, Row

ROWS, SEED = 200, 2507
_ASK = "\nThink step by step. Give the final answer, and nothing else, between <answer> and </answer>."


def make_rows(kind: str) -> list[dict[str, Any]]:
    """The first ROWS problems of a kind under SEED; the same for one version of reasoning-gym.

    Raises UserError where reasoning-gym is not installed.
    """
    try:
        import reasoning_gym
    except ImportError:
        raise UserError(
            "its problems are made by reasoning-gym, which is not installed",
            where=f"task {kind}",
            hint=f"pip install 'ringlite[gym]' (it needs a C compiler), or give a file: --data {kind}=FILE",
        ) from None
    return list(reasoning_gym.create_dataset(kind, size=ROWS, seed=SEED))


def to_problem(row: Row) -> Parts:
    entry = {"answer": row["answer"], "metadata": row["metadata"]}
    if not row["metadata"]["source_dataset"]:
        raise ValueError("no source_dataset")
    return Parts(row["question"].rstrip() + _ASK, json.dumps(entry, default=str))
