"""Sorting numbers: the next one is taken out of those that are left."""

import ast
import random

from ringlite_cli.data.games.base import Difficulty, Game, Row, Worked, WrongGold, gold

_LISTED = 12  # numbers up to which what is left is written out


def work(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """One number a line."""
    descending = row["metadata"]["direction"] == "descending"
    left = list(row["metadata"]["original_numbers"])
    lines, taken = [], []
    while left:
        number = (max if descending else min)(left, key=float)
        left.remove(number)
        taken.append(number)
        rest = f", left {' '.join(left)}" if left and len(left) < _LISTED else ""
        lines.append(f"take {number}{rest}\n")
    if list(map(float, taken)) != list(map(float, ast.literal_eval(gold(row)))):
        raise WrongGold(f"sorted they are {', '.join(taken)}")
    return Worked("".join(lines), str(taken))


def short(row: Row) -> str:
    where = "down" if row["metadata"]["direction"] == "descending" else "up"
    return f"Sort {where}: {' '.join(row['metadata']['original_numbers'])}\nForm: ['1.0', '2.0']"


def key(row: Row) -> str:
    """The numbers as they stand, and the direction."""
    return f"{row['metadata']['direction']} {' '.join(row['metadata']['original_numbers'])}"


NUMBER_SORTING = Game("number_sorting", work, short, key)
