"""Ways through a grid: `maze` asks for their length, `shortest_path` for the steps themselves.

Worked by layers: the cells that can be reached in one step more, until the goal is among them. Cells are row,column,
from 1.
"""

import random
from collections.abc import Mapping, Sequence

from ringlite_cli.data.games.base import Difficulty, Game, Row, Worked, WrongGold, gold

Cell = tuple[int, int]
_STEPS = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
_INFEASIBLE = "infeasible"


def work_maze(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """Count the layers up to the goal."""
    known = row["metadata"]
    grid: Sequence[str] = known["grid"]
    lines, way = _layers(grid, known["start"], known["goal"], known["wall"])
    if way is None or str(len(way)) != gold(row):
        raise WrongGold(f"the goal is {len(way) if way else 'nowhere in'} steps away")
    return Worked(lines, str(len(way)))


def work_path(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """Find the layers, then the way back from the goal."""
    lines, way = _layers(row["metadata"]["matrix"], "*", "#", "X")
    answer = " ".join(way) if way else _INFEASIBLE
    if (way is None) != (gold(row) == _INFEASIBLE) or len(answer.split()) != len(gold(row).split()):
        raise WrongGold(f"the shortest way is {answer}")
    return Worked(lines, answer)


def _layers(grid: Sequence[Sequence[str]], start: str, goal: str, wall: str) -> tuple[str, list[str] | None]:
    """The lines of the search and the steps of a shortest way; None where there is no way."""
    at = {sign: (r, c) for r, line in enumerate(grid) for c, sign in enumerate(line) if sign in (start, goal)}
    before: dict[Cell, tuple[Cell, str]] = {}
    layer, lines = [at[start]], [f"0: {_name(at[start])}\n"]
    while layer and at[goal] not in before:
        reached = []
        for r, c in layer:
            for step, (down, right) in _STEPS.items():
                cell = (r + down, c + right)
                if cell in before or cell == at[start] or not _is_open(grid, cell, wall):
                    continue
                before[cell] = ((r, c), step)
                reached.append(cell)
        layer = reached
        lines.append(f"{len(lines)}: {' '.join(map(_name, reached)) or 'none'}\n")
    if at[goal] not in before:
        return "".join(lines) + "the goal is not reached\n", None
    way: list[str] = []
    cell = at[goal]
    while cell != at[start]:
        cell, step = before[cell]
        way.insert(0, step)
    return "".join(lines) + f"goal {_name(at[goal])} in {len(way)}\n", way


def _is_open(grid: Sequence[Sequence[str]], cell: Cell, wall: str) -> bool:
    r, c = cell
    return 0 <= r < len(grid) and 0 <= c < len(grid[r]) and grid[r][c] != wall


def _name(cell: Cell) -> str:
    return f"{cell[0] + 1},{cell[1] + 1}"


def _drawn(grid: Sequence[Sequence[str]], signs: Mapping[str, str]) -> str:
    return "\n".join("".join(signs[sign] for sign in line) for line in grid)


def short_maze(row: Row) -> str:
    """S is the start, G the goal, # a wall and . a passage, whatever signs the game drew."""
    known = row["metadata"]
    signs = {known["start"]: "S", known["goal"]: "G", known["wall"]: "#", known["path"]: "."}
    return f"Fewest steps from S to G:\n{_drawn(known['grid'], signs)}"


def short_path(row: Row) -> str:
    drawn = _drawn(row["metadata"]["matrix"], {"*": "S", "#": "G", "X": "#", "O": "."})
    return f"Shortest way from S to G (right, down, left, up, or {_INFEASIBLE}):\n{drawn}"


MAZE = Game("maze", work_maze, short_maze)
SHORTEST_PATH = Game("shortest_path", work_path, short_path)
