"""Countdown: an expression of some numbers, each used once, that comes to a target.

Up to three numbers are searched whole, by the number that is used last. With more, a few expressions that miss are
tried, then reasoning-gym's is worked out operation by operation.
"""

import ast
import operator
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction

from ringlite_cli.data.games.base import Difficulty, Game, Row, Unworked, Worked, WrongGold, gold

_SEARCHED = 3  # numbers
_TRIED = 2  # expressions that miss
_OPERATIONS = {ast.Add: ("+", operator.add), ast.Sub: ("-", operator.sub), ast.Mult: ("*", operator.mul)}


def work(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """Search three numbers, or work out the given expression of more."""
    numbers, target = [int(n) for n in row["metadata"]["numbers"]], int(row["metadata"]["target"])
    found = _searched(numbers, target) if len(numbers) <= _SEARCHED else None
    if found is not None:
        return found
    steps, value = _worked_out(ast.parse(gold(row), mode="eval").body)
    if value != target:
        raise WrongGold(f"{gold(row)} is {value}, not {target}")
    return Worked("".join([*_misses(numbers, target, rng), *(f"{step}\n" for step in steps)]), gold(row))


def _searched(numbers: Sequence[int], target: int) -> Worked | None:
    if len(numbers) == 2:
        pairs = dict(_pairs(*numbers))
        said = f"{numbers[0]} and {numbers[1]} give {_listed(pairs)}\n"
        return Worked(said, pairs[target]) if target in pairs else None
    lines = []
    for place, last in enumerate(numbers):
        rest = [n for i, n in enumerate(numbers) if i != place]
        pairs, needs = dict(_pairs(*rest)), list(_needs(target, last))
        lines.append(
            f"last {last}: need {', '.join(str(need) for need, _ in needs) or 'nothing'}. "
            f"{rest[0]} and {rest[1]} give {_listed(pairs)}\n"
        )
        for need, form in needs:
            if need in pairs:
                inner = pairs[need] if form.startswith("{} +") else f"({pairs[need]})"
                return Worked("".join(lines) + f"{need} = {pairs[need]}\n", form.format(inner))
    return None


def _listed(pairs: dict[int, str]) -> str:
    return ", ".join(map(str, pairs))


def _pairs(a: int, b: int) -> Iterator[tuple[int, str]]:
    """What two numbers give by each operation, none of it below zero: value and expression."""
    large, small = max(a, b), min(a, b)
    yield a * b, f"{a} * {b}"
    if small and large % small == 0:
        yield large // small, f"{large} / {small}"
    yield large - small, f"{large} - {small}"
    yield a + b, f"{a} + {b}"


def _needs(target: int, last: int) -> Iterator[tuple[int, str]]:
    """What the other numbers must come to, so that the target follows with `last`, and how it is put in."""
    if target >= last:
        yield target - last, f"{{}} + {last}"
    yield target + last, f"{{}} - {last}"
    if last >= target:
        yield last - target, f"{last} - {{}}"
    if target % last == 0:
        yield target // last, f"{{}} * {last}"
    yield target * last, f"{{}} / {last}"
    if target and last % target == 0:
        yield last // target, f"{last} / {{}}"


def _misses(numbers: Sequence[int], target: int, rng: random.Random) -> Iterator[str]:
    """A few expressions that were tried and come to something else."""
    for _ in range(_TRIED):
        drawn = rng.sample(list(numbers), len(numbers))
        signs = [rng.choice("+-*") for _ in drawn[1:]]
        value, text = drawn[0], str(drawn[0])
        for sign, number in zip(signs, drawn[1:], strict=True):
            value = {"+": value + number, "-": value - number, "*": value * number}[sign]
            text = f"({text}) * {number}" if sign == "*" and not text.isdigit() else f"{text} {sign} {number}"
        if value != target:
            yield f"{text} = {value}, not {target}\n"


def _worked_out(node: ast.expr) -> tuple[list[str], Fraction]:
    """The operations of an expression in the order in which they are done, and its value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return [], Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        steps, value = _worked_out(node.operand)
        return steps, -value
    if not isinstance(node, ast.BinOp):
        raise Unworked(f"{ast.unparse(node)} is no arithmetic")
    (left, a), (right, b) = _worked_out(node.left), _worked_out(node.right)
    if isinstance(node.op, ast.Div):
        if not b:
            raise WrongGold("it divides by zero")
        sign, value = "/", a / b
    else:
        sign, act = _OPERATIONS[type(node.op)]
        value = act(a, b)
    return [*left, *right, f"{_plain(a)} {sign} {_plain(b)} = {value}"], value


def _plain(value: Fraction) -> str:
    return f"({value})" if value < 0 or value.denominator > 1 else str(value)


def short(row: Row) -> str:
    return f"Make {row['metadata']['target']} of {', '.join(map(str, row['metadata']['numbers']))}, each once."


def key(row: Row) -> str:
    """The numbers, in whatever order, and the target."""
    numbers = sorted(int(n) for n in row["metadata"]["numbers"])
    return f"{' '.join(map(str, numbers))} = {row['metadata']['target']}"


COUNTDOWN = Game("countdown", work, short, key)
