"""Logic games of reasoning-gym as problems; a recipe names them as `{gym: {countdown: {...}, maze: {}}, rows: N}`.

`maker.py` makes them in a process of its own, `making.py` asks it, `drawing.py` splits them and adds worked solutions.
"""

from ringlite_cli.data.games.arc import ARC_1D
from ringlite_cli.data.games.base import Game
from ringlite_cli.data.games.countdown import COUNTDOWN
from ringlite_cli.data.games.family import FAMILY_RELATIONSHIPS
from ringlite_cli.data.games.knights import KNIGHTS_KNAVES
from ringlite_cli.data.games.mazes import MAZE, SHORTEST_PATH
from ringlite_cli.data.games.sorting import NUMBER_SORTING
from ringlite_cli.data.games.sudoku import MINI_SUDOKU, SUDOKU

_ALL = (
    *(COUNTDOWN, MINI_SUDOKU, SUDOKU, NUMBER_SORTING, MAZE, SHORTEST_PATH),
    *(ARC_1D, FAMILY_RELATIONSHIPS, KNIGHTS_KNAVES),
)
GAMES: dict[str, Game] = {game.name: game for game in _ALL}
"""The games that ringlite can work; reasoning-gym has about a hundred more."""
