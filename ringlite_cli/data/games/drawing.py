"""Draws problems of a source's games: split by what they are, never a held-out one, with worked solutions.

A problem's key is hashed into one of a hundred buckets, of which each split owns some (generators/base.py): whatever
the seeds, no problem stands in two splits. Those of the evaluation's tasks (`HELD_OUT`) are in no split but eval.
"""

import hashlib
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import cycle, islice
from typing import Any

from ringlite_cli.data.games import GAMES
from ringlite_cli.data.games.base import ASK, ASK_SHORT, Row, Unworked, Worked, WrongGold, same_text
from ringlite_cli.data.games.making import GymRow, Maker, installed_version
from ringlite_cli.data.generators.base import SPLITS, bucket, worked
from ringlite_cli.errors import UserError, near
from ringlite_cli.problems import Problem

HELD_OUT = ("countdown", "sudoku", "mini_sudoku", "number_sorting", "maze", "shortest_path", "arc_1d",
            "family_relationships", "knights_knaves")  # fmt: skip
"""The games that are tasks of `eval` too, by the same names."""
HELD_ROWS, HELD_SEED = 200, 2507
"""The problems of such a task: the first of this seed, in the game's own difficulty."""

_SEEDS = range(1 << 20, 1 << 31)  # HELD_SEED and what follows it lie below
_CHUNK = 256  # problems that are asked for at once, at most
_REPEATS = 200  # problems of the split, one after the other, none of them new: its space is used up
_FRUITLESS = 3000  # the same, of whatever split
_FAILURES = 50  # problems, one after the other, that the game could not make
_LONGEST_TRACE = 20_000  # characters
_drawn: dict[tuple[str, str, int], list[GymRow]] = {}
"""(game, difficulty, seed) -> the problems made so far; emptied by `forget`."""


@dataclass(frozen=True)
class GymOptions:
    """The `options` of a gym source.

    prompt:  "full", reasoning-gym's own question; "short", the problem in a few signs, for games that have that.
    careful: the fraction of worked solutions that go step by step; the others jump to the answer.
    traces:  whether rows get worked solutions at all.
    """

    prompt: str = "full"
    careful: float = 1.0
    traces: bool = True


@dataclass
class Tally:
    """What became of the problems of a game that were looked at, those of other splits aside.

    drawn: made and looked at. repeated: stood among the rows already. held_out: stand in a task of eval. failed: the
    game could not make them. wrong_gold: reasoning-gym's answer is not the one that follows. without_trace: rows that
    no worked solution was found for.
    """

    rows: int = 0
    drawn: int = 0
    repeated: int = 0
    held_out: int = 0
    failed: int = 0
    wrong_gold: int = 0
    without_trace: int = 0


def read_options(options: Mapping[str, Any]) -> GymOptions:
    """Return the options of a gym source. Raises UserError naming a key or value that does not fit."""
    known = [field.name for field in fields(GymOptions)]
    for name in options:
        if name not in known:
            raise UserError(f"{name!r} is not an option", where="options", hint=near(name, known, ", ".join(known)))
    made = GymOptions(**options)
    if made.prompt not in ("full", "short"):
        raise UserError(f"{made.prompt!r} is no form of prompt", where="options.prompt", hint="full or short")
    if isinstance(made.careful, bool) or not isinstance(made.careful, int | float) or not 0 <= made.careful <= 1:
        raise UserError(f"{made.careful!r} is not a fraction from 0 to 1", where="options.careful")
    if not isinstance(made.traces, bool):
        raise UserError(f"{made.traces!r} is neither true nor false", where="options.traces")
    return made


class Drawing:
    """The problems of one split of one source, endless or until UserError; `tallies` counts by game."""

    def __init__(
        self, gym: Mapping[str, Mapping[str, Any] | None], seed: int, split: str, options: GymOptions, maker: Maker
    ) -> None:
        self.options = options
        self.tallies = {game: Tally() for game in gym}
        self._hands = [
            _Hand(_Stream(maker, game, config or {}, _stream_seed(seed, game, config or {})), split, self.tallies[game])
            for game, config in gym.items()
        ]
        self._seed, self._split = seed, split

    def problems(self, rows: int) -> Iterator[Problem]:
        """Yield so many problems, the games in turn.

        Raises UserError, saying what was reached, where a game cannot give its share.
        """
        for hand in islice(cycle(self._hands), rows):
            share = rows // len(self._hands) + (self._hands.index(hand) < rows % len(self._hands))
            row, number = hand.next(share)
            yield self._problem(hand, row, number)

    def look(self, rows: int, seconds: float) -> None:
        """Make problems to meet what is wrong with them, and drop them: one of each game, then on while time is left.

        They are not compared with the problems of the evaluation's tasks, which take long to make. What reasoning-gym
        made is kept for whoever draws it later. rows: asked for in all. Raises UserError as `problems`.
        """
        for hand in self._hands:
            hand.compare_with(())
        end = 0.0
        for number, _ in enumerate(self.problems(rows)):
            if number == len(self.tallies) - 1:
                end = time.monotonic() + seconds
            elif end and time.monotonic() > end:
                return

    def _problem(self, hand: "_Hand", row: GymRow, number: int) -> Problem:
        name, chosen = hand.name, self.options
        rng = random.Random(f"{self._seed}/{name}/{self._split}/{number}")
        style = "careful" if rng.random() < chosen.careful else "terse"
        trace = hand.trace(row, style, rng) if chosen.traces else None
        hand.tally.without_trace += trace is None
        short = GAMES[name].short(row) + ASK_SHORT if chosen.prompt == "short" else None
        return Problem(
            id=f"{name}-{self._split}-{self._seed}-{hand.tally.rows - 1}",
            domain="logic",
            prompt=short or row["question"].rstrip() + ASK,
            answer=as_answer(row),
            trace=trace,
            verifier="logic-gym",
            labels={"game": name} | ({"style": style} if trace else {}),
        )


def as_answer(row: Row) -> str:
    """Return what the verifier `logic-gym` scores a response by, as JSON text."""
    return json.dumps({"answer": row["answer"], "metadata": row["metadata"]}, default=str)


def held_rows(game: str, maker: Maker) -> list[GymRow]:
    """Return the problems of the evaluation's task of a game: the first ones whose answers are not wrong."""
    stream = _Stream(maker, game, {}, HELD_SEED)
    full = stream.difficulty()
    rows = (stream.at(number) for number in range(_FRUITLESS))
    return list(islice((row for row in rows if "failed" not in row and not contradiction(row, full)), HELD_ROWS))


def contradiction(row: Row, difficulty: Mapping[str, Any]) -> str:
    """Return why reasoning-gym's answer to a problem is wrong; '' where nothing says so."""
    try:
        _work(row, difficulty, random.Random(0))
    except WrongGold as error:
        return str(error)
    except Unworked:
        pass
    return ""


def told(drawings: Mapping[str, Drawing]) -> dict[str, Any]:
    """Return what the funnel says of these sources: the package's version, and the tally of each game."""
    games = {name: {game: asdict(t) for game, t in drawing.tallies.items()} for name, drawing in drawings.items()}
    return {"reasoning_gym": {"version": installed_version(), "sources": games}} if games else {}


def forget() -> None:
    """Drop the problems that were made and are kept in memory."""
    _drawn.clear()


class _Stream:
    """The problems of a game in one difficulty and seed, in order; made when they are asked for, and kept."""

    def __init__(self, maker: Maker, game: str, config: Mapping[str, Any], seed: int) -> None:
        self.game, self._config, self._seed = game, config, seed
        self.maker = maker
        self._rows = _drawn.setdefault((game, json.dumps(config, sort_keys=True), seed), [])

    def at(self, number: int) -> GymRow:
        if number >= len(self._rows):
            self._make(min(max(16, len(self._rows)), _CHUNK))
        return self._rows[number]

    def difficulty(self) -> Mapping[str, Any]:
        return self.maker.difficulty(self.game, self._config)

    def _make(self, count: int) -> None:
        self._rows += self.maker.rows(self.game, self._config, self._seed, len(self._rows), count)


class _Hand:
    """The problems of a stream that a split may have, each once."""

    def __init__(self, stream: _Stream, split: str, tally: Tally) -> None:
        self.name, self.tally = stream.game, tally
        self._stream, self._split, self._number = stream, split, 0
        self._key = GAMES[self.name].key if self.name in GAMES else same_text
        self._seen: set[str] = set()
        self._held: set[str] | None = set() if split == "eval" or self.name not in HELD_OUT else None
        self._difficulty: Mapping[str, Any] | None = None

    def next(self, share: int) -> tuple[GymRow, int]:
        """Return the next problem and its number in the stream. share: how many are asked for in all, for the words.

        Raises UserError where there is none any more.
        """
        repeats = failures = 0
        for _ in range(_FRUITLESS):
            row, number = self._stream.at(self._number), self._number
            self._number += 1
            failures = failures + 1 if "failed" in row else 0
            if failures:
                self.tally.failed += 1
                if failures >= _FAILURES:
                    raise self._used_up(f"it could make none of the last {failures} ({row['failed']})", share)
                continue
            key = self._key(row)
            if bucket(f"{self.name}/{key}") not in SPLITS[self._split]:
                continue
            self.tally.drawn += 1
            if key in self._seen:
                self.tally.repeated += 1
                repeats += 1
                if repeats >= _REPEATS:
                    break
            elif self._is_fit(row, key):
                self._seen.add(key)
                self.tally.rows += 1
                return row, number
        raise self._used_up(f"the last {repeats or _FRUITLESS} that it made gave no new one", share)

    def compare_with(self, held_out: Iterable[str]) -> None:
        """Leave out these problems (their keys), in place of those of the evaluation's task of the game."""
        self._held = set(held_out)

    def trace(self, row: GymRow, style: str, rng: random.Random) -> str | None:
        """Return a worked solution, ended by the answer as the scorer reads it; None where there is none."""
        try:
            found = _work(row, self._full(), rng)
        except Unworked:
            return None
        body = found.lines if style == "careful" else "I see it.\n"
        made = worked(body, f"<answer>{found.answer}</answer>")
        return made if len(made) <= _LONGEST_TRACE else None

    def _is_fit(self, row: GymRow, key: str) -> bool:
        """Count a problem that stands in a task of eval, or whose answer is wrong, and return whether it is neither."""
        if self._held is None:
            self._held = {self._key(each) for each in held_rows(self.name, self._stream.maker)}
        held, wrong = key in self._held, bool(contradiction(row, self._full()))
        self.tally.held_out += held
        self.tally.wrong_gold += wrong and not held
        return not (held or wrong)

    def _full(self) -> Mapping[str, Any]:
        if self._difficulty is None:
            self._difficulty = self._stream.difficulty()
        return self._difficulty

    def _used_up(self, why: str, share: int) -> UserError:
        return UserError(
            f"{self.name} has {self.tally.rows} different {self._split} problems in this difficulty, and {share} are "
            f"asked for: {why}",
            where=f"gym.{self.name}",
            hint="ask for fewer rows, or widen its difficulty",
        )


def _work(row: Row, difficulty: Mapping[str, Any], rng: random.Random) -> Worked:
    """The solution of a problem. Raises WrongGold, or Unworked where ringlite knows none."""
    game = GAMES.get(row["metadata"].get("source_dataset", ""))
    if game is None:
        raise Unworked("ringlite does not know the game")
    try:
        return game.work(row, difficulty, rng)
    except (WrongGold, Unworked):
        raise
    except (LookupError, TypeError, ValueError, AttributeError, SyntaxError) as error:  # another version's rows
        raise Unworked(f"{type(error).__name__}: {error}") from None


def _stream_seed(seed: int, game: str, config: Mapping[str, Any]) -> int:
    text = f"{seed}/{game}/{json.dumps(config, sort_keys=True)}"
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return _SEEDS.start + number % (len(_SEEDS) - (1 << 24))  # room for the numbers of the problems
