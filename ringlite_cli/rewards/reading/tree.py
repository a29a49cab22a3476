"""The tree of an expression."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """A node of an expression's tree.

    kind: num, sym, call, add, mul, div, pow, neg, pm, mp, deg, pct, fact, abs, seq, matrix. name: of a symbol or
    function, or the brackets of a seq. value: of a num. decimal: the number as it was written, where a point or an
    exponent stands in it.
    """

    kind: str
    args: tuple["Node", ...] = ()
    name: str = ""
    value: Fraction | None = None
    decimal: Decimal | None = None

    def walk(self) -> Iterator["Node"]:
        """Yield this node and all below it."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack += node.args

    def symbols(self) -> set[str]:
        """Return the names of the free symbols."""
        return {n.name for n in self.walk() if n.kind == "sym" and n.name not in CONSTANTS}

    def renamed(self, names: dict[str, str]) -> "Node":
        """Return the tree with its symbols renamed."""
        if self.kind == "sym":
            return replace(self, name=names.get(self.name, self.name))
        return replace(self, args=tuple(arg.renamed(names) for arg in self.args)) if self.args else self


CONSTANTS = {"pi", "e", "i", "inf"}


def num(value: int | Fraction) -> Node:
    """Return an exact number's node."""
    return Node("num", value=Fraction(value))
