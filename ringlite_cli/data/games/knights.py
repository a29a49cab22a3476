"""Knights and knaves: every assignment is tried in turn until one fits what all people say."""

import random
from collections.abc import Sequence
from itertools import product
from typing import Any

from ringlite_cli.data.games.base import Difficulty, Game, Row, Unworked, Worked, WrongGold, gold

Statement = Sequence[Any]
"""("telling-truth" | "lying", person), or an operator with its statements: not, and, or, ->, <=>."""


def work(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """One assignment a line, up to the person whose statement does not fit."""
    known = row["metadata"]
    names, statements = known["names"], known["statements"]
    lines, fitting = [], None
    for honest in product((True, False), repeat=len(names)):
        said = ", ".join(f"{name} {_role(known, h)}" for name, h in zip(names, honest, strict=True))
        wrong = next((i for i, h in enumerate(honest) if holds(statements[i], honest) != h), None)
        if wrong is None:
            fitting = honest
            lines.append(f"{said}: all fits\n")
            break
        lines.append(f"{said}: {names[wrong]} says what is {'false' if honest[wrong] else 'true'}, no\n")
    if fitting is None or list(fitting) != [bool(h) for h in known["solution"]]:
        raise WrongGold("another assignment fits")
    return Worked("".join(lines), gold(row))


def holds(statement: Statement, honest: Sequence[bool]) -> bool:
    """Return whether a statement is true where these people are knights."""
    kind, *parts = statement
    if kind in ("telling-truth", "lying"):
        return honest[int(parts[0])] == (kind == "telling-truth")
    values = [holds(part, honest) for part in parts]
    if kind == "not":
        return not values[0]
    if kind in ("and", "or"):
        return all(values) if kind == "and" else any(values)
    if kind == "->":
        return not values[0] or values[1]
    if kind == "<=>":
        return values[0] == values[1]
    raise Unworked(f"a statement of an unknown kind, {kind}")


def _role(known: Row, honest: bool) -> str:
    return str(known["knight_knave_terms"]["knight" if honest else "knave"])


def _in_words(statement: Statement, known: Row) -> str:
    kind, *parts = statement
    if kind in ("telling-truth", "lying"):
        return f"{known['names'][int(parts[0])]} {_role(known, kind == 'telling-truth')}"
    words = [_in_words(part, known) for part in parts]
    words = [w if p[0] in ("telling-truth", "lying") else f"({w})" for w, p in zip(words, parts, strict=True)]
    if kind == "not":
        return f"not {words[0]}"
    if kind == "->":
        return f"if {words[0]} then {words[1]}"
    return f" {'iff' if kind == '<=>' else kind} ".join(words)


def short(row: Row) -> str:
    known = row["metadata"]
    said = [f"{n}: {_in_words(s, known)}." for n, s in zip(known["names"], known["statements"], strict=True)]
    knight, knave = _role(known, True), _role(known, False)
    form = f"{known['names'][0]} is {known['knight_knave_terms']['a_knight']}, and ..."
    return f"A {knight} tells the truth, a {knave} lies.\n" + "\n".join(said) + f"\nWho is what? Form: {form}"


KNIGHTS_KNAVES = Game("knights_knaves", work, short)
