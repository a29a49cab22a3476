"""How prompts are compared: tokens, a signature of numbers and operators, and hashed n-grams of a whole corpus.

The tokens keep every number and operator, because procedural problems differ in nothing else; they lose case, white
space, sentence punctuation and the parts of LaTeX that only change how a formula looks.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.notation import common
from ringlite_cli.problems import Problem, route

_SPACE = re.compile(r"\s+")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"  # scripts without spaces between words: each sign is a token
_PUNCTUATION = ".,;:?'\"`$\\{}~&|_‘’“”…#@。、《》「」『』【】〔〕"
_TOKEN = re.compile(rf"\d+(?:\.\d+)?|[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|[^\s\w{re.escape(_PUNCTUATION)}]")
_SAME = {  # commands, signs and number words that mean the same
    "dfrac": "frac",
    "tfrac": "frac",
    "dbinom": "binom",
    "leq": "le",
    "leqslant": "le",
    "geqslant": "ge",
    "cfrac": "frac",
    "geq": "ge",
    "neq": "ne",
    "ldots": "dots",
    "cdots": "dots",
    "cdot": "times",
    "*": "times",
    "degree": "circ",
    "div": "/",
    "lt": "<",
    "gt": ">",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "twenty": "20",
    "thirty": "30",
    "hundred": "100",
    "thousand": "1000",
}
_CELLS = "_#█■□"
_FEWEST_CELLS, _FEWEST_LINES, _MOSTLY = 12, 3, 0.7  # cells and lines of a drawing, and share of cells in a line
_FORMULA_SIGNS = re.compile(r"[\\&$|]")
_FRACTION = re.compile(r"\\[dtc]?frac(?:\{([^{}]+)\}|(\w))(?:\{([^{}]+)\}|(\w))")
_ANSWER_DRESS = re.compile(r"\\(?:left|right|text|textbf|mathrm|mathbf|mbox|[,;:!])(?![a-z])|[$,]")
_WORD_OPERATORS = frozenset(
    {"times", "div", "le", "ge", "ne", "sqrt", "frac", "binom", "half", "third", "quarter", "twice"}
)
_AFTER_A_LETTER_LIST = "is are be and or equals has such if in to was divides does as can must for of"
_AFTER_A_LETTER = frozenset(_AFTER_A_LETTER_LIST.split())
_UNSPACED_SIGN = re.compile(f"[{_UNSPACED}]")


def collapse(text: str) -> str:
    """The text with every run of white space as one space."""
    return _SPACE.sub(" ", text).strip()


def tokens(text: str) -> list[str]:
    """Words (case folded), numbers and operators, in order; punctuation and the look of formulas are gone."""
    found: list[str] = _TOKEN.findall(common(text).casefold())
    if "!" in text:
        found = _factorials(found)
    if not _SAME.keys().isdisjoint(found):
        found = [_SAME.get(t, t) for t in found]
    if sum(map(text.count, _CELLS)) >= _FEWEST_CELLS:
        found += _drawn_lines(text)
    return found


def compared_tokens(problem: Problem, text: str) -> list[str]:
    """The tokens by which a text of the problem is compared: every sign of a logic game, which may be a board."""
    return text.split() if route(problem) == "logic-gym" else tokens(text)


def _drawn_lines(text: str) -> list[str]:
    """Return the lines of a board, a grid or a banner of signs, which differ in nothing else; [] where few are such."""
    lines = [line.rstrip() for line in text.splitlines() if not _FORMULA_SIGNS.search(line)]
    signs = [("".join(line.split()), line) for line in lines]
    drawn = [line for bare, line in signs if len(bare) > 4 and sum(map(bare.count, _CELLS)) >= _MOSTLY * len(bare)]
    return drawn if len(drawn) >= _FEWEST_LINES else []


def _factorials(words: Sequence[str]) -> list[str]:
    """The tokens without exclamation marks that are punctuation; those after a number or a bracket stay."""
    kept: list[str] = []
    for word in words:
        if word != "!" or (kept and (kept[-1].isdigit() or kept[-1] == ")")):
            kept.append(word)
    return kept


class Kinds(dict[str, bool]):
    """Whether a token is a number, operator or single letter, and so part of the signature; found out once each."""

    def __missing__(self, token: str) -> bool:
        single = len(token) == 1 and not _UNSPACED_SIGN.match(token)
        self[token] = kind = single or not token.isalpha() or token in _WORD_OPERATORS
        return kind


def signature(words: Sequence[str], kinds: Kinds | None = None) -> tuple[str, ...]:
    """The numbers, operators and single letters among tokens, in order: problems that differ here are different.

    A hyphen between two words is spelling, not subtraction, and an "a" before a word is an article. `kinds` may be
    shared between the texts of a batch.
    """
    kinds = Kinds() if kinds is None else kinds
    if "-" in words:
        words = [t for place, t in enumerate(words) if t != "-" or not _is_hyphen(words, place)]
    if "a" in words:
        words = [t for place, t in enumerate(words) if t != "a" or not _is_article(words, place)]
    return tuple(filter(kinds.__getitem__, words))


def _is_article(words: Sequence[str], place: int) -> bool:
    after = words[place + 1] if place + 1 < len(words) else ""
    before = words[place - 1] if place else "the"
    return len(after) > 1 and after.isalpha() and after not in _AFTER_A_LETTER and (len(before) > 1 or before == ",")


def numbers(words: Sequence[str]) -> list[str]:
    """The numbers among tokens, sorted."""
    return sorted(word for word in words if word[0].isdigit())


def _is_hyphen(words: Sequence[str], place: int) -> bool:
    inside = 0 < place < len(words) - 1
    return inside and _is_word(words[place - 1]) and _is_word(words[place + 1])


def _is_word(token: str) -> bool:
    return len(token) > 1 and token.isalpha()


def label_key(problem: Problem) -> str:
    """What two copies of a problem must agree in: the tests, or the answer without white space and LaTeX's dress."""
    if problem.tests:
        return json.dumps(problem.tests, sort_keys=True, ensure_ascii=False)
    answer = _ANSWER_DRESS.sub("", _SPACE.sub("", problem.answer or ""))
    answer = _FRACTION.sub(_as_quotient, answer)
    return answer.replace("{", "").replace("}", "").rstrip(".")


def _as_quotient(match: re.Match[str]) -> str:
    """Both terms with a stroke between them, in brackets where they are more than a sign or a number."""
    terms = (match[1] or match[2], match[3] or match[4])
    return "/".join(term if term.isalnum() else f"({term})" for term in terms)


def stable_hash(text: str) -> int:
    """64 bits that are the same in every process and on every machine."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of each document, hashed, one document after the other.

    hashes:  uint64, sorted within a document; in memory or in a memory-mapped file.
    offsets: int64, (documents + 1,); document i holds hashes[offsets[i]:offsets[i + 1]].
    """

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, document: int) -> NDArray[np.uint64]:
        return self.hashes[self.offsets[document] : self.offsets[document + 1]]

    def owners(self) -> NDArray[np.int64]:
        """The document of each hash."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def part(self, start: int, stop: int) -> "Grams":
        """Documents start to stop, in memory."""
        first, last = self.offsets[start], self.offsets[min(stop, len(self))]
        return Grams(np.array(self.hashes[first:last]), self.offsets[start : stop + 1] - first)

    def take(self, documents: NDArray[np.int64]) -> "Grams":
        """Those documents alone, in that order, in memory."""
        counts = np.diff(self.offsets)[documents]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = np.repeat(self.offsets[documents] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Grams(np.array(self.hashes[places]), offsets)


NO_GRAMS = Grams(np.zeros(0, np.uint64), np.zeros(1, np.int64))
"""Those of no document."""


def joined(parts: Sequence[Grams]) -> Grams:
    """Several collections as one."""
    sizes = np.concatenate([np.zeros(1, np.int64), *[np.diff(p.offsets) for p in parts]])
    hashes = np.concatenate([np.zeros(0, np.uint64), *[p.hashes for p in parts]])
    return Grams(hashes, np.cumsum(sizes).astype(np.int64))


_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class _Hashes(dict[str, int]):
    """`stable_hash` of each token, made when first asked for."""

    def __missing__(self, token: str) -> int:
        self[token] = number = stable_hash(token)
        return number


@dataclass(frozen=True)
class Vocabulary:
    """Documents as one array of hashed tokens, from which grams of any size are made."""

    ids: NDArray[np.uint64]  # (all tokens,)
    lengths: NDArray[np.int64]  # (documents,)

    @classmethod
    def of(cls, documents: Iterable[Sequence[str]]) -> "Vocabulary":
        hash_of = _Hashes().__getitem__
        ids: list[int] = []
        lengths: list[int] = []
        for document in documents:
            lengths.append(len(document))
            ids.extend(map(hash_of, document))
        return cls(np.array(ids, dtype=np.uint64), np.array(lengths, dtype=np.int64))

    def grams(self, size: int) -> Grams:
        """The distinct windows of `size` tokens; a document shorter than that is a single window."""
        windows = np.where(self.lengths >= size, self.lengths - size + 1, np.minimum(self.lengths, 1))
        starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]) if len(self.lengths) else np.zeros(0, np.int64)
        owners = np.repeat(np.arange(len(windows)), windows)
        first = np.concatenate([[0], np.cumsum(windows)[:-1]]) if len(windows) else np.zeros(0, np.int64)
        places = np.repeat(starts - first, windows) + np.arange(windows.sum())
        hashes = self._windows(places, np.minimum(size, self.lengths)[owners], size)
        order = np.lexsort((hashes, owners))
        hashes, owners = hashes[order], owners[order]
        fresh = np.ones(len(hashes), bool)
        fresh[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
        counts = np.bincount(owners[fresh], minlength=len(windows))
        return Grams(hashes[fresh], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def _windows(self, places: NDArray[np.int64], widths: NDArray[np.int64], size: int) -> NDArray[np.uint64]:
        """A hash of each window of `widths` tokens that starts at `places`; order within a window counts."""
        total = np.zeros(len(places), np.uint64)
        for step in range(size):
            inside = widths > step
            token = self.ids[np.where(inside, places + step, 0)] if len(self.ids) else self.ids
            mixed = (total * _STEP) ^ token
            mixed ^= mixed >> np.uint64(29)
            total = np.where(inside, mixed, total)
        return total * _MIX


def grams(documents: Iterable[Sequence[str]], size: int) -> Grams:
    """Hashes the `size`-grams of documents given as tokens; one shorter than `size` is a single gram."""
    return Vocabulary.of(documents).grams(size)
