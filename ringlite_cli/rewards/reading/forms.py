"""Forms that an answer can have: a value, items, a relation, a set by its condition, words."""

from dataclasses import dataclass, field

from ringlite_cli.rewards.reading.tree import Node


@dataclass(frozen=True, slots=True)
class Form:
    """One answer, read whole.

    quantified: names of parameters that the answer binds itself ("for all n", "k in Z").
    """

    quantified: frozenset[str] = field(default=frozenset(), kw_only=True)


RADIANS = "rad"
"""The words of a value whose radians were named: its number is not one of degrees."""


@dataclass(frozen=True, slots=True)
class Value(Form):
    """An expression, with the words behind it: 12, "cm"."""

    node: Node
    words: str = ""


@dataclass(frozen=True, slots=True)
class Items(Form):
    """Several forms. brackets: "" for a bare list, "()", "[]", "{}", "(]" ... joiner: ",", "and", "or"."""

    items: tuple[Form, ...]
    brackets: str = ""
    joiner: str = ","


@dataclass(frozen=True, slots=True)
class Relation(Form):
    """A chain of relations: sides has one form more than signs."""

    sides: tuple[Form, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labelled(Form):
    """A word, a colon, and what it is: "Minimum: 1"."""

    label: str
    form: Form


@dataclass(frozen=True, slots=True)
class Builder(Form):
    """The set of all elements that meet a condition."""

    element: Form
    condition: Form


@dataclass(frozen=True, slots=True)
class SetOperation(Form):
    """A union, intersection or difference of sets. sign: cup, cap or minus."""

    sign: str
    left: Form
    right: Form


@dataclass(frozen=True, slots=True)
class Ratio(Form):
    """3 : 4 : 5."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Words(Form):
    """Words without a number, in small letters."""

    text: str


@dataclass(frozen=True, slots=True)
class Numbers(Form):
    """A set with a name: R, Z, N, Q, C, or "" for the empty set."""

    name: str


@dataclass(frozen=True, slots=True)
class Ellipsis_(Form):
    """Three dots among the items of a list."""
