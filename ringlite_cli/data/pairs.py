"""Pairs of a better and a worse response to one prompt, read from rows of several shapes.

A row's `chosen` and `rejected` are texts, or chats whose last turn is the response. The prompt is a text or a chat
under `prompt`, or what both chats begin with. A system prompt may stand in a column of its own.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ringlite_cli.data.readers import read_file, read_hub
from ringlite_cli.data.shards import shards
from ringlite_cli.data_folder import data_folder
from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import RawRow, Unreadable
from ringlite_cli.recipe.reward_model import PairSource

Message = dict[str, str]
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant"}
EQUAL, EMPTY, REPEATED = "equal responses", "an empty response", "a repeated pair"


@dataclass(frozen=True, slots=True)
class Pair:
    """asked: the conversation up to the response. chosen, rejected: two responses, the better first."""

    asked: tuple[Message, ...]
    chosen: str
    rejected: str

    @property
    def fault(self) -> str:
        """Return why nothing can be learned from it; "" where something can."""
        if not self.chosen.strip() or not self.rejected.strip():
            return EMPTY
        return EQUAL if self.chosen.strip() == self.rejected.strip() else ""


@dataclass
class Pairs:
    """Pairs in their order, and what was counted on the way: rows, and those left out by reason."""

    pairs: list[Pair] = field(default_factory=list)
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    why: str = ""
    _seen: set[str] = field(default_factory=set)

    def add(self, pair: Pair) -> None:
        """Keep a pair, or count why not."""
        key = json.dumps([pair.asked, pair.chosen.strip(), pair.rejected.strip()])
        if fault := pair.fault or (REPEATED if key in self._seen else ""):
            self.left_out[fault] += 1
        else:
            self._seen.add(key)
            self.pairs.append(pair)


class BadPair(ValueError):
    """Raised for a row that is no pair; says why."""


def load_pairs(source: PairSource, most: int | None = None) -> Pairs:
    """Return the pairs of a source; most: rows that are looked at, of a first look.

    Raises UserError where it can't be read, or more of its rows can't be than `max_unreadable`.
    """
    found = Pairs()
    limit = min((n for n in (source.rows, most) if n), default=None)
    for index, row in enumerate(islice(_rows(source), limit)):
        found.rows += 1
        try:
            if isinstance(row, Unreadable):
                raise BadPair(row.why)
            found.add(read_pair(row, source.columns))
        except BadPair as error:
            found.unreadable += 1
            found.why = found.why or f"row {index}: {error}"
    if not found.rows:
        raise UserError("it has no rows", where=_name(source))
    if found.unreadable > source.max_unreadable * found.rows:
        raise UserError(
            f"{found.unreadable} of {found.rows} rows can't be read as pairs ({found.why})",
            where=_name(source),
            hint="rows are {prompt, chosen, rejected}; columns: {chosen: ...} names other columns",
        )
    return found


def read_pair(row: Mapping[str, Any], columns: Mapping[Any, str] | None = None) -> Pair:
    """Return the pair of a row. Raises BadPair where it is none."""
    named = {name: (columns or {}).get(name, name) for name in ("prompt", "chosen", "rejected")}
    for name in ("chosen", "rejected"):
        if named[name] not in row:
            raise BadPair(f"no column {named[name]!r}; it has {', '.join(map(repr, row)) or 'none'}")
    prompt = _chat(row.get(named["prompt"]), "prompt", "user")
    sides = {}
    for name in ("chosen", "rejected"):
        turns = _chat(row[named[name]], name, "assistant")
        if not turns:
            turns = [{"role": "assistant", "content": ""}]
        if turns[-1]["role"] != "assistant":
            raise BadPair(f"{name} ends with a turn of {turns[-1]['role']}, not with a response")
        sides[name] = turns
    begins = [turns[:-1] for turns in sides.values()]
    if begins[0] != begins[1]:
        raise BadPair("chosen and rejected answer different prompts")
    asked = begins[0] or prompt
    if begins[0] and prompt and not _continues(begins[0], prompt):
        asked = [*prompt, *begins[0]]
    if not asked:
        raise BadPair("no prompt, and chosen holds none")
    system = row.get("system", row.get("system_prompt"))
    if isinstance(system, str) and system.strip() and not any(turn["role"] == "system" for turn in asked):
        asked = [{"role": "system", "content": system.strip()}, *asked]
    chosen, rejected = (turns[-1]["content"] for turns in sides.values())
    return Pair(tuple(asked), chosen, rejected)


def _continues(turns: Sequence[Message], prompt: Sequence[Message]) -> bool:
    """Whether a chat holds the prompt already."""
    return all(message in turns for message in prompt)


def _chat(value: Any, name: str, role: str) -> list[Message]:
    """A text, a turn or a list of turns as turns; [] for nothing."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"role": role, "content": value}] if value or name != "prompt" else []
    turns: Iterable[Any] = [value] if isinstance(value, Mapping) else value
    if not isinstance(turns, list | tuple):
        raise BadPair(f"{name} is a {type(value).__name__}, neither a text nor a chat")
    return [_turn(turn, name) for turn in turns]


def _turn(turn: Any, name: str) -> Message:
    said = turn.get("content", turn.get("value")) if isinstance(turn, Mapping) else None
    by = turn.get("role", turn.get("from")) if isinstance(turn, Mapping) else None
    if not isinstance(said, str) or not isinstance(by, str):
        raise BadPair(f"{name} has a turn without role and content")
    return {"role": _ROLES.get(by, by), "content": said}


def _rows(source: PairSource) -> Iterator[RawRow]:
    for file in local_files(source):
        yield from read_file(file)
    if source.hub and not local_files(source):
        yield from read_hub(source.hub, revision=source.revision, subset=source.subset, split=source.hub_split)


def local_files(source: PairSource) -> list[Path]:
    """Return the files that a source is read from; [] where the hub is asked. Raises UserError where there are none."""
    folder = data_folder()
    stand_in = folder / source.local if folder and source.local and source.hub else None
    path = Path(source.path).expanduser() if source.path else stand_in
    return shards(path, source.hub_split) if path is not None and (source.path or path.exists()) else []


def _name(source: PairSource) -> str:
    return str(source.path or source.hub)
