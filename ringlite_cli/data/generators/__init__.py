"""Procedural problems with worked traces, in five domains; a recipe names them as `{generator: arithmetic, ...}`."""

from ringlite_cli.data.generators.arithmetic import ARITHMETIC
from ringlite_cli.data.generators.base import SPLITS, Generator
from ringlite_cli.data.generators.formulas import FORMULAS
from ringlite_cli.data.generators.functions import FUNCTIONS
from ringlite_cli.data.generators.instructions import INSTRUCTIONS
from ringlite_cli.data.generators.puzzles import PUZZLES

GENERATORS: dict[str, Generator] = {g.name: g for g in (ARITHMETIC, FUNCTIONS, FORMULAS, PUZZLES, INSTRUCTIONS)}

__all__ = ["GENERATORS", "SPLITS", "Generator"]
