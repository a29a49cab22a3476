"""How prompts are compared: tokens, a signature of numbers and operators, and hashed n-grams of a whole corpus.

The tokens keep every number and operator, because procedural problems differ in nothing else; they lose case, white
space, sentence punctuation and the parts of LaTeX that only change how a formula looks.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.problems import Problem

_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[^\s\w]|_")
_LATEX_LOOK = re.compile(
    r"\\[\[\]()]|[\^_]\{\}"
    r"|\\(?:left|right|displaystyle|limits|quad|qquad|text|textbf|mathrm|mathbf|mbox|rm|bf|[,;:!> ])(?![a-z])"
)
_SAME_COMMAND = {
    "dfrac": "frac",
    "tfrac": "frac",
    "dbinom": "binom",
    "leq": "le",
    "geq": "ge",
    "neq": "ne",
    "ldots": "dots",
    "cdots": "dots",
}
_ANSWER_DRESS = re.compile(r"\\(?:left|right|text|textbf|mathrm|mathbf|mbox|[,;:!])(?![a-z])|[$,]")
_PUNCTUATION = frozenset(".,;:?'\"`$\\{}~&|_‘’“”…#@")
_WORD_OPERATORS = frozenset({"times", "cdot", "div", "le", "ge", "lt", "gt", "ne", "sqrt", "frac", "binom"})


def collapse(text: str) -> str:
    """The text with every run of white space as one space."""
    return _SPACE.sub(" ", text).strip()


def tokens(text: str) -> list[str]:
    """Words (case folded), numbers and operators, in order; punctuation and the look of formulas are gone."""
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    if "\\" in text or "{}" in text:
        text = _LATEX_LOOK.sub(" ", text)
    found: list[str] = []
    for token in _TOKEN.findall(text.casefold()):
        if token in _PUNCTUATION or (token == "!" and not (found and (found[-1].isdigit() or found[-1] == ")"))):
            continue
        found.append(_SAME_COMMAND.get(token, token))
    return found


def signature(words: Sequence[str]) -> tuple[str, ...]:
    """The numbers, operators and single letters among tokens, in order: problems that differ here are different.

    A hyphen between two words is spelling, not subtraction.
    """
    kept = []
    for place, token in enumerate(words):
        if token == "-" and 0 < place < len(words) - 1 and _is_word(words[place - 1]) and _is_word(words[place + 1]):
            continue
        if not _is_word(token) or token in _WORD_OPERATORS:
            kept.append(token)
    return tuple(kept)


def _is_word(token: str) -> bool:
    return len(token) > 1 and token.isalpha()


def label_key(problem: Problem) -> str:
    """What two copies of a problem must agree in: the tests, or the answer without white space and LaTeX's dress."""
    if problem.tests:
        return json.dumps(problem.tests, sort_keys=True, ensure_ascii=False)
    answer = _ANSWER_DRESS.sub("", _SPACE.sub("", problem.answer or ""))
    return answer.replace("dfrac", "frac").replace("tfrac", "frac").replace("{", "").replace("}", "").rstrip(".")


def stable_hash(text: str) -> int:
    """64 bits that are the same in every process and on every machine."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of each document, hashed, one document after the other.

    hashes:  uint64, sorted within a document.
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


_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def grams(documents: Iterable[Sequence[str]], size: int) -> Grams:
    """Hashes the `size`-grams of documents given as tokens; one shorter than `size` is a single gram."""
    known: dict[str, int] = {}
    pieces, offsets = [], [0]
    for document in documents:
        ids = [known.get(t) or known.setdefault(t, stable_hash(t)) for t in document]
        piece = _windows(np.array(ids, dtype=np.uint64), size)
        pieces.append(piece)
        offsets.append(offsets[-1] + len(piece))
    hashes = np.concatenate(pieces) if pieces else np.zeros(0, np.uint64)
    return Grams(hashes, np.array(offsets, dtype=np.int64))


def _windows(ids: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Sorted distinct hashes of all windows; order within a window counts."""
    if not len(ids):
        return ids
    size = min(size, len(ids))
    total = np.zeros(len(ids) - size + 1, np.uint64)
    for place in range(size):
        total = (total * _STEP) ^ ids[place : place + len(total)]
        total ^= total >> np.uint64(29)
    return np.unique(total * _MIX)


def document_frequency(corpora: Sequence[Grams]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(sorted distinct hashes, in how many documents of the corpora each occurs)."""
    every = np.concatenate([c.hashes for c in corpora]) if corpora else np.zeros(0, np.uint64)
    return np.unique(every, return_counts=True)
