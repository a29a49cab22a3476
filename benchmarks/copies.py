"""Copies of MATH-500 that should be found, and near-misses that should not, by duplicates and by decontamination.

    python benchmarks/copies.py [--data FOLDER] [--near-misses 1000]

FOLDER (default: $RINGLITE_DATA) holds eval/math500.json, as data_cards/math500.md says. Copies carry an instruction at
the end or the start, a question's number, or LaTeX written in another way; each kind once as a source of its own, once
as one row in ten of another source. A near-miss has one number, sign or exponent changed, and another answer.
"""

import argparse
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ringlite_cli.data.curate import Steps, sift
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.data.sources import load_sources
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.schema import Source

SUFFIXES = (
    "Let's think step by step and output the final answer within \\boxed{}.",
    "\n\nPresent the answer in LaTeX format: \\boxed{Your answer}",
    "\nReason with care, then give the result alone on the last line.",
)
PREFIXES = (
    "Solve the following math problem efficiently and clearly. ",
    "You are given a question from a contest. Think about it, then answer.\n\n",
)


def with_suffix(prompt: str, number: int) -> str:
    return f"{prompt} {SUFFIXES[0]}"


def with_other_suffixes(prompt: str, number: int) -> str:
    return f"{prompt}{SUFFIXES[1 + number % 2]}"


def with_prefix(prompt: str, number: int) -> str:
    return PREFIXES[0] + prompt


def with_other_prefix(prompt: str, number: int) -> str:
    return PREFIXES[1] + prompt


def with_number(prompt: str, number: int) -> str:
    return f"Question {number + 1}. {prompt}"


def with_bare_number(prompt: str, number: int) -> str:
    return f"{number % 99 + 1}) {prompt}"


_REWRAPPED = (
    (re.compile(r"\\[dt]?frac\s*\{(\d)\}\s*\{(\d)\}"), r"\\frac\1\2"),
    (re.compile(r"\\frac\{"), r"\\dfrac{"),
    (re.compile(r"\^(\w)(?![\w}])"), r"^{\1}"),
    (re.compile(r"_(\w)(?![\w}])"), r"_{\1}"),
    (re.compile(r"\\left\s*([(\[|])"), r"\1"),
    (re.compile(r"\\right\s*([)\]|])"), r"\1"),
    (re.compile(r"\\leq?\b"), r"\\leqslant"),
    (re.compile(r"\\geq?\b"), r"\\geqslant"),
    (re.compile(r"\\text\{([^{}]*)\}"), r"\\mathrm{\1}"),
    (re.compile(r"\s*([+=])\s*"), r" \1 "),
    (re.compile(r"\$([^$]+)\$"), r"\\(\1\\)"),
    (re.compile(r"\s*\\\["), "\n$$"),
    (re.compile(r"\\\]"), "$$\n"),
)


def rewrapped(prompt: str, number: int) -> str:
    """The same LaTeX in another hand."""
    for pattern, other in _REWRAPPED:
        prompt = pattern.sub(other, prompt)
    return prompt


COPIES: dict[str, Callable[[str, int], str]] = {
    "suffix": with_suffix,
    "two suffixes": with_other_suffixes,
    "prefix": with_prefix,
    "another prefix": with_other_prefix,
    "question number": with_number,
    "bare number": with_bare_number,
    "rewrapped LaTeX": rewrapped,
}

_NUMBER = re.compile(r"(?<![\d.\w\\])\d+(?![\d.,]*\d)")
_EXPONENT = re.compile(r"\^(?:\{(\d+)\}|(\d))")
_SIGN = re.compile(r"(?<=[\w})]) ?([+-]) ?(?=[\w\\({])")


def near_misses(problems: Sequence[Problem], wanted: int, seed: int = 1) -> Iterator[tuple[Problem, Problem]]:
    """(problem, its near-miss): one number, sign or exponent changed, and another answer."""
    rng = random.Random(seed)
    changes = [
        (_NUMBER, lambda m: str(int(m[0]) + rng.choice((1, 2, 10)))),
        (_EXPONENT, lambda m: f"^{{{int(m[1] or m[2]) + 1}}}"),
        (_SIGN, lambda m: m[0].replace(m[1], "-" if m[1] == "+" else "+")),
    ]
    made = 0
    while made < wanted:
        problem = rng.choice(problems)
        pattern, change = rng.choice(changes)
        places = [m for m in pattern.finditer(problem.prompt) if "[asy]" not in problem.prompt[: m.start()]]
        if places:
            place = rng.choice(places)
            prompt = problem.prompt[: place.start()] + change(place) + problem.prompt[place.end() :]
            made += 1
            answer = f"{rng.randint(1000, 9999)}"
            yield problem, replace(problem, id=f"near:{made}", prompt=prompt, answer=answer, source="near")


def trust(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    """The verifier of this benchmark: answers agree where their texts do."""
    return [Verdict("told", float(f"\\boxed{{{problem.answer}}}" == said)) for problem, said in pairs]


def found_copies(
    problems: Sequence[Problem], others: Sequence[Problem], change: Callable[[str, int], str], mixed: bool
) -> tuple[int, int]:
    """(by duplicates, by decontamination) copies found; `mixed` puts nine other rows beside each copy."""
    copies = [replace(p, id=f"copy:{n}", prompt=change(p.prompt, n), source="copies") for n, p in enumerate(problems)]
    if mixed:
        beside = [replace(p, id=f"beside:{n}", source="copies") for n, p in enumerate(others[: 9 * len(copies)])]
        copies = [*copies, *beside]
    counts = []
    for split in ("train", "eval"):
        rows = [CuratedRow(replace(p, source="plain"), split, verified="trace") for p in problems]
        rows += [CuratedRow(p, "train") for p in copies]
        drops = sift(rows, trust, Steps()).drops
        wanted = ("duplicate", "contamination")[split == "eval"]
        gone = {d.problem.id for d in drops if d.reason.startswith(wanted)}  # of duplicates, either of the two
        counts.append(sum(f"copy:{n}" in gone or p.id in gone for n, p in enumerate(problems)))
    return counts[0], counts[1]


def mistaken(problems: Sequence[Problem], wanted: int) -> tuple[int, int]:
    """(by duplicates, by decontamination) near-misses that are taken for copies."""
    pairs = list(near_misses(problems, wanted))
    counts = []
    for split in ("train", "eval"):
        taken = 0
        for part in _rounds(pairs):
            rows = [CuratedRow(p, split) for p, _ in part] + [CuratedRow(m, "train") for _, m in part]
            drops = sift(rows, trust, Steps()).drops
            reasons = ("duplicate", "contamination", "conflicting")
            taken += sum(d.reason.startswith(reasons) and d.problem.source == "near" for d in drops)
        counts.append(taken)
    return counts[0], counts[1]


def _rounds(pairs: Sequence[tuple[Problem, Problem]]) -> Iterator[list[tuple[Problem, Problem]]]:
    """The pairs in groups in which each problem stands once."""
    left = list(pairs)
    while left:
        here = {problem.id: (problem, miss) for problem, miss in reversed(left)}
        yield list(here.values())
        taken = {miss.id for _, miss in here.values()}
        left = [pair for pair in left if pair[1].id not in taken]


def usable(folder: Path) -> tuple[list[Problem], list[Problem]]:
    """MATH-500, and MATH's training rows, both without what the rules drop or would call a copy of another row."""
    sources = [Source(path=str(folder / f), adapter="math") for f in ("eval/math500.json", "train/math.json")]
    rows = [row for source in load_sources(sources, seed=1, generators={}) for row in source.rows]
    kept = sift(rows, trust_all, Steps()).kept
    split = {name: [r.problem for r in kept if r.problem.source == name] for name in ("math500.json", "math.json")}
    plain = [replace(p, trace=None) for p in split["math500.json"]]
    return plain, [replace(p, trace=None) for p in split["math.json"]]


def trust_all(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    return [Verdict("told", 1.0) for _ in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RINGLITE_DATA"))
    parser.add_argument("--near-misses", type=int, default=1000)
    arguments = parser.parse_args()
    problems, others = usable(arguments.data)
    print(f"{len(problems)} problems of MATH-500\n{'copies with':24} {'duplicates':>12} {'held out':>12}")
    for name, change in COPIES.items():
        for mixed in (False, True):
            counts = found_copies(problems, others, change, mixed)
            shares = [f"{100 * n / len(problems):.1f} %" for n in counts]
            print(f"{name + (', 1 row in 10' if mixed else ''):30} {shares[0]:>9} {shares[1]:>9}")
    taken = mistaken(problems, arguments.near_misses)
    print(f"near-misses taken for copies, of {arguments.near_misses}: {taken[0]} by duplicates, {taken[1]} held out")


if __name__ == "__main__":
    main()
