"""The data cards that are shipped: which sources have one, and what each allows.

A card is Markdown that opens with YAML between two `---` lines: `ids` (hub ids), `adapters`, `licence`, `training`
(yes, no, ask) and `held_out` (hub splits that are benchmarks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ringlite_cli.data.sources import local_path
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.curation import GYM
from ringlite_cli.recipe.schema import Source
from ringlite_cli.shipped import DATA_CARDS, by_name

TRAINING = ("yes", "no", "ask")


@dataclass(frozen=True)
class DataCard:
    """The head of a card; the rest is for people."""

    name: str
    licence: str
    training: str
    ids: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


@lru_cache
def shipped() -> tuple[DataCard, ...]:
    return tuple(read(path) for path in by_name(DATA_CARDS, "*.md").values() if _has_head(path))


def read(path: Path) -> DataCard:
    """A card's head. Raises UserError where there is none or it says something else."""
    import yaml

    if not path.is_file():
        raise UserError("no such data card", where=str(path))
    head = path.read_text(encoding="utf-8").partition("---\n")[2].partition("\n---")[0]
    try:
        fields: dict[str, Any] = yaml.safe_load(head) or {}
        card = DataCard(
            path.stem,
            str(fields["licence"]),
            {True: "yes", False: "no"}.get(fields["training"], str(fields["training"])),
            *(tuple(map(str, fields.get(key) or ())) for key in ("ids", "adapters", "held_out")),
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        hint = f"see {DATA_CARDS / 'README.md'}"
        raise UserError(f"its head can't be read ({error})", where=str(path), hint=hint) from None
    if card.training not in TRAINING:
        raise UserError(f"training is {card.training!r}", where=str(path), hint=f"write {', '.join(TRAINING)}")
    return card


def _has_head(path: Path) -> bool:
    return path.read_text(encoding="utf-8").startswith("---\n")


def card_of(source: Source) -> DataCard | None:
    """The card of a source: the one it names, that of its hub id, or that of its adapter."""
    if source.card:
        return read(Path(source.card).expanduser())
    if source.hub:
        return next((c for c in shipped() if source.hub in c.ids), None)
    key = "generators" if source.generator else GYM if source.gym is not None else source.adapter
    return next((c for c in shipped() if key and (key in c.adapters or key == c.name)), None)


def card_warnings(sources: Sequence[Source]) -> list[str]:
    """Return what a user should know of licences and versions, one warning a source, however often a recipe names it.

    A source has no card, or one that speaks against training; or it is a hub data set that may change.
    """
    said: dict[str, dict[str, None]] = {}
    for source in sources:
        found = [_unpinned(source), _licence(source)]
        said.setdefault(source.name, {}).update(dict.fromkeys(text for text in found if text))
    return [f"source {name}: {'; '.join(texts)}" for name, texts in said.items() if texts]


def _unpinned(source: Source) -> str | None:
    """A hub data set that is read from the hub (no stand-in is at hand) at whatever revision is newest."""
    if not source.hub or source.revision or local_path(source):
        return None
    return "no revision, so its rows may change between runs (give `revision: <full commit>`)"


def _licence(source: Source) -> str | None:
    card = card_of(source)
    if card is None:
        return "no data card, so nothing is known of its licence (give `card: <file>`)"
    if source.split == "eval":
        return None
    if card.training == "no":
        return f"its data card ({card.name}, {card.licence}) forbids training"
    if source.hub and source.hub_split in card.held_out:
        return f"its split {source.hub_split!r} is a benchmark, says its data card ({card.name})"
    if card.training == "ask":
        return f"licence unclear ({card.licence}), says its data card ({card.name}); ask first"
    return None
