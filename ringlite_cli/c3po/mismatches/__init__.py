"""The remedies against mismatch, one file each: its name is the file's, its value the file's `RULE`."""

from functools import cache
from importlib import import_module

from ringlite_cli.c3po.mismatch import Rule
from ringlite_cli.own_code import is_own, load


def rule_of(name: str) -> Rule:
    """Return a rule by its file's name, or as `module:object`. Raises UserError for an object that is none."""
    if is_own(name):
        found: Rule = load(name, Rule)
        return found
    return _shipped(name)


@cache
def _shipped(name: str) -> Rule:
    found: Rule = import_module(f"ringlite_cli.c3po.mismatches.{name}").RULE
    return found
