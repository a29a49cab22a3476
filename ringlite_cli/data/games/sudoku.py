"""Sudoku, 9 x 9, and mini sudoku, 4 x 4: a cell is filled where one number is left for it, or it alone for a number.

Where neither helps, the cell with the fewest candidates is tried: the numbers that fail are told without their proof.
"""

import random
from collections.abc import Iterator
from functools import partial
from math import isqrt

from ringlite_cli.data.games.base import Difficulty, Game, Row, Worked, WrongGold

Grid = list[list[int]]


def work(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """Fill one cell a line, always the first that can be told."""
    grid: Grid = [list(map(int, line)) for line in row["metadata"]["puzzle"]]
    solution: Grid = row["metadata"]["solution"]
    lines = []
    while any(0 in line for line in grid):
        r, c, number, why = _next_cell(grid, solution)
        if number != solution[r][c]:
            raise WrongGold(f"r{r + 1}c{c + 1} must be {number}")
        grid[r][c] = number
        lines.append(f"{why}\n")
    return Worked("".join(lines), "\n".join(" ".join(map(str, line)) for line in grid))


def _next_cell(grid: Grid, solution: Grid) -> tuple[int, int, int, str]:
    """(row, column, number, why), counted from 0."""
    size = len(grid)
    left = {(r, c): _left(grid, r, c) for r in range(size) for c in range(size) if not grid[r][c]}
    for (r, c), numbers in left.items():
        if len(numbers) == 1:
            seen = sorted(set(range(1, size + 1)) - set(numbers))
            return r, c, numbers[0], f"r{r + 1}c{c + 1} sees {' '.join(map(str, seen))}: {numbers[0]}"
    for unit, cells in _units(size):
        for number in range(1, size + 1):
            fitting = [cell for cell in cells if number in left.get(cell, ())]
            if len(fitting) == 1:
                r, c = fitting[0]
                return r, c, number, f"{number} of {unit} fits r{r + 1}c{c + 1} alone: {number}"
    (r, c), numbers = min(left.items(), key=lambda item: len(item[1]))
    right = solution[r][c]
    failing = " ".join(str(n) for n in numbers if n != right)
    return r, c, right, f"r{r + 1}c{c + 1} may be {' '.join(map(str, numbers))}, {failing} fails: {right}"


def _left(grid: Grid, r: int, c: int) -> list[int]:
    """The numbers that no cell in the row, column or box has."""
    size, box = len(grid), isqrt(len(grid))
    top, side = r - r % box, c - c % box
    seen = {*grid[r], *(line[c] for line in grid)}
    seen |= {grid[y][x] for y in range(top, top + box) for x in range(side, side + box)}
    return [number for number in range(1, size + 1) if number not in seen]


def _units(size: int) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Rows, columns and boxes with their cells."""
    box = isqrt(size)
    for i in range(size):
        yield f"row {i + 1}", [(i, c) for c in range(size)]
        yield f"column {i + 1}", [(r, i) for r in range(size)]
        top, side = box * (i // box), box * (i % box)
        yield f"box {i + 1}", [(top + k // box, side + k % box) for k in range(size)]


def short(row: Row, name: str) -> str:
    lines = [" ".join(str(n) if n else "_" for n in line) for line in row["metadata"]["puzzle"]]
    return f"{name}:\n" + "\n".join(lines)


def key(row: Row) -> str:
    return short(row, "grid")


MINI_SUDOKU = Game("mini_sudoku", work, partial(short, name="Mini sudoku"), key)
SUDOKU = Game("sudoku", work, partial(short, name="Sudoku"), key)
