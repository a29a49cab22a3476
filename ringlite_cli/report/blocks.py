"""What a section is made of: text, tables, figures, rollouts. How each looks is the templates' business."""

from dataclasses import dataclass, field

from ringlite_cli.report.figures import Figure


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. tone: plain, lead (the sentence to remember), warn, note (small print), missing."""

    words: str
    tone: str = "plain"
    block: str = "text"


@dataclass(frozen=True, slots=True)
class Heading:
    words: str
    id: str = ""
    block: str = "heading"


@dataclass(frozen=True, slots=True)
class Figures:
    """Panels side by side; `small` ones are four in a row on a wide page."""

    items: list[Figure]
    small: bool = False
    block: str = "figures"


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell; `sort` orders numeric columns, `tone` is CSS classes: good, bad, quiet, strong, a colour.

    links: (words, path from the page's folder) of files that the cell leads to, behind its text.
    """

    text: str
    sort: float | None = None
    tone: str = ""
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """The first cell of a row is its header. folded: kept closed until asked for."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    note: str = ""
    folded: bool = False
    block: str = "table"


@dataclass(frozen=True, slots=True)
class Details:
    """Text kept closed until asked for."""

    summary: str
    words: str
    block: str = "details"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A response to read: `facts` are (name, value) pairs; `right` is None where it got no verdict."""

    title: str
    style: str
    right: bool | None
    facts: list[tuple[str, str]]
    prompt: str
    response: str
    cut: str = ""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Responses that stand on the page as they are, behind one line."""

    items: list[Rollout]
    summary: str
    block: str = "rollouts"


@dataclass(frozen=True, slots=True)
class Browser:
    """All responses that the page holds, packed (see `reading.pack`), for rollouts.js to show. note: which they are."""

    packed: str
    note: str
    block: str = "browser"


Block = Text | Heading | Figures | Table | Details | Rollouts | Browser


@dataclass(slots=True)
class Section:
    """A part of the page. short: its word in the navigation."""

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    short: str = ""

    def figures(self, *items: Figure | None, small: bool = False) -> None:
        """Add those figures that there is something to draw for."""
        if shown := [item for item in items if item is not None]:
            self.blocks.append(Figures(shown, small))

    def say(self, words: str, tone: str = "plain") -> None:
        if words:
            self.blocks.append(Text(words, tone))
