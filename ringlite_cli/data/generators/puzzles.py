"""Logic: sorting, counting and parity puzzles on short strings.

Careful: an item at a time, with what is left or counted so far.
Terse:   the result at once.
"""

import random
from dataclasses import dataclass

from ringlite_cli.data.generators.base import Draft, Generator, Options, boxed


@dataclass(frozen=True)
class PuzzleOptions(Options):
    """length: items in the longest string."""

    length: int = 7


def draw(rng: random.Random, options: PuzzleOptions) -> Draft:
    """One puzzle of a kind picked at random."""
    return rng.choice((_sort, _count, _parity))(rng, max(4, options.length))


def _sort(rng: random.Random, length: int) -> Draft:
    digits = [rng.choice("123456789") for _ in range(rng.randint(4, length))]
    left, lines = list(digits), []
    for digit in sorted(digits):
        left.remove(digit)
        lines.append(f"take {digit}, left {''.join(left) or 'none'}\n")
    word = "".join(digits)
    return _draft("sort", word, f"Sort the digits of {word} in rising order.", "".join(sorted(word)), "".join(lines))


def _count(rng: random.Random, length: int) -> Draft:
    letters = [rng.choice("abc") for _ in range(rng.randint(5, length + 3))]
    wanted, seen, marks = rng.choice("abc"), 0, []
    for letter in letters:
        seen += letter == wanted
        marks.append(f"{letter} {seen}")
    text = " ".join(letters)
    return _draft("count", f"{wanted}/{text}", f"How many {wanted} are in: {text}?", str(seen), f"{', '.join(marks)}\n")


def _parity(rng: random.Random, length: int) -> Draft:
    numbers = [rng.randint(1, 99) for _ in range(rng.randint(4, length))]
    wanted, seen, marks = rng.choice(("odd", "even")), 0, []
    for number in numbers:
        parity = "odd" if number % 2 else "even"
        seen += parity == wanted
        marks.append(f"{number} {parity} {seen}")
    text = " ".join(map(str, numbers))
    prompt = f"How many {wanted} numbers are in: {text}?"
    return _draft("parity", f"{wanted}/{text}", prompt, str(seen), f"{', '.join(marks)}\n")


def _draft(kind: str, key: str, prompt: str, answer: str, lines: str) -> Draft:
    return Draft(
        key=f"{kind}/{key}",
        prompt=prompt,
        answer=answer,
        careful=f"One at a time:\n{lines}",
        terse=f"Clearly {answer}\n",
        final=boxed(answer),
    )


PUZZLES = Generator("puzzles", "logic", "sort, count and parity puzzles", draw, PuzzleOptions)
