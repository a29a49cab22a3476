"""The data cards of `data_cards/`: which sources have one, and what each allows.

A card is Markdown that opens with YAML between two `---` lines: `ids` (hub ids), `adapters`, `licence`, `training`
(yes, no, ask) and `held_out` (hub splits that are benchmarks).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ringlite_cli.data.sources import local_path
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import Source

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


def folders() -> list[Path]:
    """Where the cards lie: beside the source tree, or under the environment's share/ once installed."""
    here = Path(__file__).resolve().parents[2] / "data_cards"
    return [folder for folder in (here, Path(sys.prefix) / "share" / "ringlite" / "data_cards") if folder.is_dir()]


@lru_cache
def shipped() -> tuple[DataCard, ...]:
    return tuple(read(path) for folder in folders()[:1] for path in sorted(folder.glob("*.md")) if _has_head(path))


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
        raise UserError(f"its head can't be read ({error})", where=str(path), hint="see data_cards/README.md") from None
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
    key = "generators" if source.generator else source.adapter
    return next((c for c in shipped() if key and (key in c.adapters or key == c.name)), None)


def card_warnings(sources: Sequence[Source]) -> list[str]:
    """What a user should know: no card, or one that speaks against training; a hub data set that may change."""
    found = [_unpinned(source) for source in sources]
    if folders():
        found += [_licence(source) for source in sources]
    return list(dict.fromkeys(w for w in found if w))


def _unpinned(source: Source) -> str | None:
    """A hub data set that is read from the hub (no stand-in is at hand) at whatever revision is newest."""
    if not source.hub or source.revision or local_path(source):
        return None
    return f"source {source.hub}: no revision, so its rows may change between runs; give `revision: <full commit>`"


def _licence(source: Source) -> str | None:
    card = card_of(source)
    if card is None:
        return f"source {source.name}: no data card, so nothing is known of its licence; give `card: <file>`"
    if source.split == "eval":
        return None
    if card.training == "no":
        return f"source {source.name}: its data card ({card.name}, {card.licence}) forbids training"
    if source.hub and source.hub_split in card.held_out:
        return f"source {source.name}: its split {source.hub_split!r} is a benchmark, says its data card ({card.name})"
    if card.training == "ask":
        return f"source {source.name}: licence unclear ({card.licence}), says its data card ({card.name}); ask first"
    return None
