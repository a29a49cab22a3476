"""The algorithms of RL, one file each: its name is the file's, its value the file's `ALGORITHM`."""

from functools import cache
from importlib import import_module

from ringlite_cli.c3po.algorithm import Algorithm
from ringlite_cli.own_code import is_own, load


def algorithm_of(name: str) -> Algorithm:
    """Return an algorithm by its file's name, or as `module:object`. Raises UserError for an object that is none."""
    if is_own(name):
        found: Algorithm = load(name, Algorithm)
        return found
    return _shipped(name)


@cache
def _shipped(name: str) -> Algorithm:
    found: Algorithm = import_module(f"ringlite_cli.c3po.algorithms.{name}").ALGORITHM
    return found
