"""Where a fault of a recipe stands: the line of its file, or the `--set` that made it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

_KEY = re.compile(r"[^\s:'\"]+(?=: )")
_NAMED = re.compile(r"'([^'\s]+)'|(\w+)(?= = )")


@dataclass
class Places:
    """The keys of one file, and the changes that were made to them.

    overrides: dotted key -> the `--set` flag as the user gave it.
    """

    path: Path
    overrides: dict[str, str] = field(default_factory=dict)

    def of(self, fault: str) -> str:
        """Return where a fault `key: what` stands: `file:line`, `file`, or `--set KEY=VALUE`."""
        key = found[0] if (found := _KEY.match(fault)) else self._with_spaces(fault)
        rest = fault[len(key) :].removeprefix(": ")
        if named := _NAMED.match(rest):  # `stages.rl.trl: 'lr' is not ...` is about stages.rl.trl.lr
            name = named[1] or named[2]
            key = f"{key}.{name}" if key else name
        above, _, last = key.rpartition(".")
        if key not in self._lines and f"{above}.trl.{last}" in self._lines:
            key = f"{above}.trl.{last}"  # said of what a field of TRL means
        line_of = self._longest(key, self._lines)
        flag_of = self._longest(key, self.overrides)
        if flag_of and (len(flag_of) >= len(line_of) or line_of.startswith(f"{flag_of}.")):
            return self.overrides[flag_of]
        return f"{self.path}:{self._lines[line_of]}" if line_of else str(self.path)

    def _with_spaces(self, fault: str) -> str:
        """The key that a fault begins with, where a name in it has spaces; "" where none does."""
        return max((key for key in self._lines if fault.startswith(f"{key}: ")), key=len, default="")

    @staticmethod
    def _longest(key: str, known: Any) -> str:
        """The key itself, or the nearest one above it that is known; "" where none is."""
        while key and key not in known:
            key = key.rpartition(".")[0]
        return key

    @cached_property
    def _lines(self) -> dict[str, int]:
        """Dotted key -> its line, counted from 1; empty where the file can't be read any more."""
        try:
            node = yaml.compose(self.path.read_text(encoding="utf-8"), yaml.SafeLoader)
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            return {}
        found: dict[str, int] = {}
        for key, line in _keys(node, ""):
            found.setdefault(key, line)
        return found


def _keys(node: Any, above: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            key = f"{above}.{name.value}" if above else str(name.value)
            yield key, name.start_mark.line + 1
            yield from _keys(value, key)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            key = f"{above}.{index}" if above else str(index)
            yield key, value.start_mark.line + 1
            yield from _keys(value, key)
