"""The program that makes reasoning-gym's problems: a process of its own, told what to make by lines of JSON.

Some games draw by the order of a set of texts, or by Python's shared random numbers, so that their problems differ
between two processes of one seed. Here the hash seed is fixed (by the environment that `making.py` gives) and the
shared numbers are seeded for each problem. A game that never ends can be ended, too.

It imports nothing of ringlite. Each line that it reads gets one line back, `rows` one for each problem.
"""

import contextlib
import dataclasses
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_KINDS = {bool: "bool", int: "int", float: "float", str: "str", list: "list", tuple: "list", type(None): "any"}


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a game prints is no answer
    from reasoning_gym import factory

    for line in sys.stdin:
        asked = json.loads(line)
        for answer in _answers(factory, asked):
            answers.write(f"{json.dumps(answer, default=str)}\n")
            answers.flush()


def _answers(factory: Any, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if asked["want"] == "games":
        yield {"games": sorted(factory.DATASETS)}
    elif asked["want"] == "fields":
        yield {"fields": _fields(factory.DATASETS[asked["game"]][1])}
    elif asked["want"] == "difficulty":
        made = _dataset(factory, asked["game"], asked["config"], seed=0, size=1).config
        yield {"difficulty": {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}}
    elif asked["want"] == "fault":
        yield {"fault": _fault(factory, asked["game"], asked["config"])}
    else:
        yield from _rows(factory, **{name: value for name, value in asked.items() if name != "want"})


def _fields(config: Any) -> dict[str, str]:
    """The fields of a game's difficulty, each with the kind of value that it takes; "" for one of Python's objects."""
    made = config()
    return {field.name: _KINDS.get(type(getattr(made, field.name)), "") for field in dataclasses.fields(config)}


def _fault(factory: Any, game: str, config: Mapping[str, Any]) -> str:
    """What the game says of a difficulty; '' for nothing."""
    try:
        _dataset(factory, game, config, seed=0, size=1)
    except Exception as error:  # each game refuses in its own way
        return str(error).strip().split("\n")[0] or type(error).__name__
    return ""


def _rows(
    factory: Any, game: str, config: Mapping[str, Any], seed: int, first: int, count: int
) -> Iterator[dict[str, Any]]:
    """The problems of a seed from number `first` on; {"failed": why} for one that the game cannot make."""
    dataset = _dataset(factory, game, config, seed=seed, size=first + count)
    for number in range(first, first + count):
        _seed_shared(seed + number)
        try:
            row = dataset[number]
            yield {name: row[name] for name in ("question", "answer", "metadata")}
        except Exception as error:
            yield {"failed": f"{type(error).__name__}: {error}"[:200]}


def _dataset(factory: Any, game: str, config: Mapping[str, Any], **more: int) -> Any:
    made = factory.DATASETS[game][1]()
    tuples = {name for name in config if isinstance(getattr(made, name), tuple)}
    given = {name: tuple(value) if name in tuples else value for name, value in config.items()}
    return factory.create_dataset(game, **given, **more)


def _seed_shared(seed: int) -> None:
    random.seed(seed)
    with contextlib.suppress(ImportError):
        import numpy

        numpy.random.seed(seed % 2**32)


if __name__ == "__main__":
    main()
