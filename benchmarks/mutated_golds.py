"""How many wrong answers are paid: gold answers made wrong on purpose, beside Math-Verify on the same pairs.

    python benchmarks/mutated_golds.py [--count 10000] [--seed 7]     needs RINGLITE_DATA

A change makes another answer by construction: a sign turned, a digit changed, a bracket or an end of an interval moved,
a unit replaced, two entries of a tuple swapped, a term dropped or added. The changes work on the text and know nothing
of the reader that is tried.
"""

import argparse
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from ringlite_cli.rewards.reading.verdict import judge

_PLAIN = re.compile(r"-?\d{1,12}(?:\.\d{1,8})?\Z")
_FRACTION = re.compile(r"(-?)\\d?frac\{(\d{1,6})\}\{(\d{1,6})\}\Z")
_PAIR = re.compile(r"(\\left)?\(\s*([^,()]+),\s*([^,()]+?)(\\right)?\)\Z")
_INTERVAL = re.compile(r"([\[(])\s*(-?\d+)\s*,\s*(-?\d+|\\infty)\s*([\])])\Z")
_UNITS = {"cm": "m", "m": "km", "km": "cm", "inches": "feet", "feet": "inches", "hours": "minutes", "minutes": "hours"}
_UNIT = re.compile(r"\\text\{\s*(" + "|".join(_UNITS) + r")\s*\}\Z")
_SUM = re.compile(r"([^+\-(){}\\,=<>]{1,20})([+-])([^+\-(){}\\,=<>|]{1,20})\Z")


def value_of(text: str) -> Fraction | None:
    """The value of a plain number or a plain fraction, by itself; None for anything else."""
    if _PLAIN.match(text):
        return Fraction(text)
    found = _FRACTION.match(text)
    return Fraction(int(found[1] + found[2]), int(found[3])) if found and int(found[3]) else None


def changes(gold: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(kind of change, an answer that is not the gold one)."""
    value = value_of(gold)
    if value is not None:
        if value:
            yield "sign", gold[1:] if gold.startswith("-") else f"-{gold}"
        places = [i for i, c in enumerate(gold) if c.isdigit()]
        for _ in range(3):
            place = rng.choice(places)
            digit = rng.choice([d for d in "0123456789" if d != gold[place]])
            changed = gold[:place] + digit + gold[place + 1 :]
            if (other := value_of(changed)) is not None and other != value:
                yield "digit", changed
        yield "term added", f"{gold}+{rng.randint(1, 9)}"
        yield "power of ten", rf"{gold}\times 10^{{{rng.choice((-3, -1, 1, 2))}}}" if value else "1"
    if pair := _PAIR.match(gold):
        one, two = value_of(pair[2].strip()), value_of(pair[3].strip())
        if one is not None and two is not None and one != two:
            yield "order", f"({pair[3]}, {pair[2]})"
            yield "entry dropped", pair[2]
            yield "entry changed", f"({pair[2]}, {two + 1})"
    if found := _INTERVAL.match(gold):
        yield "bracket", {"[": "(", "(": "["}[found[1]] + gold[1:]
        yield "end", f"{found[1]}{int(found[2]) - 1},{found[3]}{found[4]}"
    if (unit := _UNIT.search(gold)) and value_of(gold[: unit.start()].rstrip("\\ ,~")) not in (None, 0):
        yield "unit", gold[: unit.start()] + rf"\text{{ {_UNITS[unit[1]]}}}"
    if (terms := _SUM.match(gold)) and re.search("[A-Za-z]", terms[1]) and terms[3].strip() not in ("0", ""):
        yield "term dropped", terms[1]
        yield "sign of a term", terms[1] + {"+": "-", "-": "+"}[terms[2]] + terms[3]


def golds(folder: Path) -> list[str]:
    files = ("eval/math500.json", "train/math.json", "train/aime_1983_2023.json")
    rows = [row for name in files for row in json.loads((folder / name).read_text())]
    made = [
        r"(0,1]",
        "[2,7)",
        r"[-3,\infty)",
        "(1, 2)",
        "(-4, 9)",
        r"12\text{ cm}",
        r"7\text{ hours}",
        r"30\text{ feet}",
    ]
    return list(dict.fromkeys([str(row["answer"]).strip() for row in rows] + made))


def pairs(count: int, seed: int, folder: Path) -> list[tuple[str, str, str]]:
    """(kind, gold, wrong answer), `count` of them, kinds as even as the golds allow."""
    rng = random.Random(seed)
    by_kind: dict[str, list[tuple[str, str, str]]] = {}
    for gold in golds(folder):
        for kind, answer in changes(gold, rng):
            by_kind.setdefault(kind, []).append((kind, gold, answer))
    for found in by_kind.values():
        rng.shuffle(found)
    kept: list[tuple[str, str, str]] = []
    while len(kept) < count and any(by_kind.values()):
        kept += [found.pop() for found in by_kind.values() if found]
    return kept[:count]


def math_verify_pays(gold: str, answer: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(rf"$\boxed{{{answer}}}$")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--opponent", action="store_true", help="ask Math-Verify too (minutes)")
    options = parser.parse_args()
    total, paid, theirs = Counter[str](), Counter[str](), Counter[str]()
    for kind, gold, answer in pairs(options.count, options.seed, Path(os.environ["RINGLITE_DATA"])):
        total[kind] += 1
        if judge([gold], answer)[0] == "correct":
            paid[kind] += 1
            print(f"paid: {kind}: {gold} <- {answer}")
        if options.opponent:
            theirs[kind] += math_verify_pays(gold, answer)
    print("| change | answers | paid |" + (" by Math-Verify |" if options.opponent else ""))
    for kind in total:
        print(f"| {kind} | {total[kind]} | {paid[kind]} |" + (f" {theirs[kind]} |" if options.opponent else ""))
    print(f"| all | {total.total()} | {paid.total()} ({100 * paid.total() / max(total.total(), 1):.2f} %) |")


if __name__ == "__main__":
    main()
