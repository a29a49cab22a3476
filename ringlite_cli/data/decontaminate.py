"""Takes problems that stand in held-out sets out of the others, precisely, with each pair and its score.

Text is compared by the 8-grams of its tokens. A gram that many problems share is boilerplate ("where m and n are
relatively prime positive integers"), so a gram in more documents than `FEW` weighs (FEW / documents)^2; the score of a
pair is the weighted Jaccard index of its grams, or their containment where a held-out problem stands whole inside a
longer text. Half is enough, and 0.4 where the answers and all numbers agree. Where the answer differs and a number,
sign, exponent or named quantity too, it is another problem of the same template. Procedural problems differ in nothing
but numbers, so one of them is a copy only when it is the same problem (`sameness.same_problem`), however alike the
words.

The documents' grams stay on disk and are read in parts; memory holds those of the held-out problems and of the few
documents that share a rare one with them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.features import Features, measure
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted, ticking
from ringlite_cli.data.sameness import AFFIXED, is_affixed, names_otherwise, other_facts, same_problem
from ringlite_cli.data.text import Grams, numbers

JACCARD = 0.5
AGREEING = 0.4  # enough where the answers and all numbers agree
CONTAINMENT = 0.8
MIN_CONTAINED = 12  # grams that a held-out problem must have for containment to mean anything
FEW = 20
_RARE = 200  # a pair is looked at when it shares a gram that at most so many documents have
_FEW_CANDIDATES = 50  # held-out rows with one signature that a row is compared with
_PART = 20_000  # documents read at a time


def decontaminate(
    rows: Sequence[CuratedRow],
    held: Sequence[CuratedRow],
    features: Features | None = None,
    held_features: Features | None = None,
    progress: Progress | None = None,
) -> Sifted:
    """Drop each row that repeats a held-out one, with reason "contamination", the pair and its score.

    features: of `rows`, all of them and in order; held_features: of `held`, likewise. Both are measured where missing.
    """
    found = find_leaks(rows, held, features or measure(rows), held_features or measure(held), progress)
    sifted = Sifted(drops=list(leaks_of(found, rows, held)))
    sifted.kept = [row for i, row in enumerate(rows) if i not in found]
    return sifted


def leaks_of(
    found: Mapping[int, tuple[int, float]], rows: Sequence[CuratedRow], held: Sequence[CuratedRow]
) -> Iterator[Drop]:
    """Yield what `find_leaks` found, as dropped rows in order."""
    for i in sorted(found):
        j, score = found[i]
        yield Drop(rows[i], "contamination", against=held[j], score=score)


def find_leaks(
    rows: Sequence[CuratedRow],
    held: Sequence[CuratedRow],
    features: Features,
    held_features: Features,
    progress: Progress | None = None,
) -> dict[int, tuple[int, float]]:
    """Row -> the held-out row that it repeats, and the score. Of `rows` only those that are compared are asked for."""
    pairs = _Pairs(rows, features, held, held_features)
    found = _same(pairs, progress)
    for i, j, score in near_pairs(features.grams, held_features.grams, jaccard=AGREEING, progress=progress):
        if rows[i].procedural or held[j].procedural or not pairs.same_task(i, j) or found.get(i, (0, 0.0))[1] >= score:
            continue
        if pairs.same_label(i, j):
            alike = score >= JACCARD or pairs.same_numbers(i, j)
        else:
            alike = score >= JACCARD and pairs.same_facts(i, j) and pairs.same_quantities(i, j)
        if alike:
            found[i] = (j, score)
    return found


@dataclass
class _Pairs:
    """Rows and held-out rows with their features, and what a pair of them has in common."""

    rows: Sequence[CuratedRow]
    own: Features
    held: Sequence[CuratedRow]
    other: Features

    def words(self, i: int) -> list[str]:
        return self.own.tokens(self.rows[i].problem)

    def held_words(self, j: int) -> list[str]:
        return self.other.tokens(self.held[j].problem)

    def same_label(self, i: int, j: int) -> bool:
        return bool(self.own.label[i] == self.other.label[j])

    def same_task(self, i: int, j: int) -> bool:
        """Return whether what the prompts of each source share names no different quantities ("the derivative of:")."""
        return len({int(self.own.affix[i]), int(self.other.affix[j])} - {0}) < 2

    def same_numbers(self, i: int, j: int) -> bool:
        return numbers(self.words(i)) == numbers(self.held_words(j))

    def same_facts(self, i: int, j: int) -> bool:
        """Return whether no number or operator differs."""
        if self.own.words[i] == self.other.words[j]:
            return True
        if self.own.sign[i] == self.other.sign[j]:
            return True
        return not (self.own.code[i] or other_facts(self.words(i), self.held_words(j)))

    def same_quantities(self, i: int, j: int) -> bool:
        """Return whether both name the same quantities; programming tasks have too many to tell by them."""
        return bool(self.own.code[i]) or not names_otherwise(self.words(i), self.held_words(j))


def _same(pairs: _Pairs, progress: Progress | None = None) -> dict[int, tuple[int, float]]:
    """Row -> (held-out row, score) where the tokens are equal, or the problem is the same but for filler words."""
    found: dict[int, tuple[int, float]] = {}
    own, other = pairs.own, pairs.other
    for i, candidates in _equal(own.words, other.words):
        equal = next((j for j in candidates if pairs.same_task(i, j)), None)
        if equal is not None:
            found[i] = (equal, 1.0)
    alike = _equal(_pair_key(own), _pair_key(other))
    for i, candidates in ticking(alike, "comparing with held-out problems of equal numbers", progress, len(pairs.rows)):
        words = pairs.words(i) if i not in found else []
        for j in (j for j in candidates if i not in found and pairs.same_task(i, j)):
            procedural = pairs.rows[i].procedural or pairs.held[j].procedural
            score = same_problem(words, pairs.held_words(j), procedural)
            if score is not None:
                found[i] = (j, score)
                break
    alike = _equal(own.sign, other.sign)
    for i, candidates in ticking(alike, "looking for held-out problems in longer texts", progress, len(pairs.rows)):
        if i not in found and not pairs.rows[i].procedural and len(candidates) <= _FEW_CANDIDATES:
            words = pairs.words(i)
            wrapped = (j for j in candidates if _is_wrapped(words, pairs.held_words(j)) and pairs.same_task(i, j))
            if (j := next(wrapped, -1)) >= 0 and not pairs.held[j].procedural:
                found[i] = (j, min(len(words), pairs.other.size[j]) / max(len(words), pairs.other.size[j], 1))
    return found


def _is_wrapped(words: Sequence[str], held: Sequence[str]) -> bool:
    """Return whether one text is the other with an instruction before or after it."""
    short, long = sorted((words, held), key=len)
    return len(short) >= AFFIXED and is_affixed(short, long)


def _pair_key(features: Features) -> NDArray[np.uint64]:
    return (features.sign * np.uint64(0x9E3779B97F4A7C15)) ^ features.label


def _equal(keys: NDArray[np.uint64], held: NDArray[np.uint64]) -> Iterator[tuple[int, list[int]]]:
    """(row, the held-out rows with its key), for the rows that have any."""
    holders: dict[int, list[int]] = defaultdict(list)
    for j, key in enumerate(held.tolist()):
        holders[key].append(j)
    for i in np.flatnonzero(np.isin(keys, held)).tolist():
        yield i, holders[int(keys[i])]


def near_pairs(
    documents: Grams,
    held: Grams,
    *,
    jaccard: float = JACCARD,
    containment: float = CONTAINMENT,
    progress: Progress | None = None,
) -> list[tuple[int, int, float]]:
    """(document, held-out document, score) of every near copy, ordered by document and held-out document."""
    vocabulary = np.unique(held.hashes)
    if not len(vocabulary) or not len(documents.hashes):
        return []
    frequency = _document_frequency(vocabulary, documents, held, progress=progress)
    pairs = _sharing_rare(vocabulary, frequency, documents, held, progress)
    if not len(pairs):
        return []
    candidates, left = np.unique(pairs[:, 0], return_inverse=True)
    near = documents.take(candidates)
    words = np.unique(np.concatenate([near.hashes, vocabulary]))
    weights = _weights(_document_frequency(words, documents, held, progress=progress))
    own, other = _weigh(near, words, weights), _weigh(held, words, weights)
    own_mass, other_mass = _mass(own, near), _mass(other, held)
    right = pairs[:, 1]
    together = ticking(zip(left.tolist(), right.tolist(), strict=True), "weighing shared text", progress, len(pairs))
    shared = np.array([_shared(near, held, own, a, b) for a, b in together])
    similarity = shared / np.maximum(own_mass[left] + other_mass[right] - shared, 1e-12)
    whole = np.diff(held.offsets)[right] >= MIN_CONTAINED
    inside = np.where(whole, shared / np.maximum(other_mass[right], 1e-12), 0.0)
    hit = (similarity >= jaccard) | (inside >= containment)
    contained = (similarity < JACCARD) & (inside >= containment)
    score = np.minimum(np.where(contained, inside, similarity), 1.0)
    found = zip(pairs[hit, 0].tolist(), right[hit].tolist(), score[hit].tolist(), strict=True)
    return sorted(found)


def _weights(frequency: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.minimum(1.0, FEW / np.maximum(frequency, 1)) ** 2


def _weigh(corpus: Grams, words: NDArray[np.uint64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of each hash of a corpus."""
    return weights[np.searchsorted(words, corpus.hashes)]


def _mass(weights: NDArray[np.float64], corpus: Grams) -> NDArray[np.float64]:
    """Total weight of each document's grams, (documents,)."""
    return np.bincount(corpus.owners(), weights=weights, minlength=len(corpus)).astype(np.float64)


def _shared(near: Grams, held: Grams, weights: NDArray[np.float64], left: int, right: int) -> float:
    """The weight of the grams that two documents share."""
    mine = near.of(left)
    return float(weights[near.offsets[left] : near.offsets[left + 1]][np.isin(mine, held.of(right))].sum())


def _parts(corpus: Grams, what: str = "", progress: Progress | None = None) -> Iterator[tuple[int, Grams]]:
    for start in range(0, len(corpus), _PART):
        if progress:
            progress(what, start, len(corpus))
        yield start, corpus.part(start, start + _PART)


def _document_frequency(
    words: NDArray[np.uint64], *corpora: Grams, progress: Progress | None = None
) -> NDArray[np.int64]:
    """Return in how many documents of the corpora each of the (sorted) words occurs."""
    sieve = _Sieve(words)
    counts = np.zeros(len(words), np.int64)
    for corpus in corpora:
        for _, part in _parts(corpus, "counting text that is shared with held-out problems", progress):
            _, places = sieve.find(part.hashes)
            counts += np.bincount(places, minlength=len(words))
    return counts


def _sharing_rare(
    vocabulary: NDArray[np.uint64],
    frequency: NDArray[np.int64],
    documents: Grams,
    held: Grams,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """(pairs, 2): the documents and held-out documents that share a gram which few documents have, without repeats."""
    rare = vocabulary[frequency <= _RARE]
    sieve = _Sieve(rare)
    held_at, held_place = sieve.find(held.hashes)
    order = np.argsort(held_place, kind="stable")
    index, owners = held_place[order], held.owners()[held_at][order]
    found = [np.zeros((0, 2), np.int64)]
    for start, part in _parts(documents, "looking for near copies of held-out problems", progress):
        at, place = sieve.find(part.hashes)
        first, last = np.searchsorted(index, place, "left"), np.searchsorted(index, place, "right")
        counts = last - first
        left = np.repeat(part.owners()[at], counts) + start
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        right = owners[np.repeat(first, counts) + steps]
        keys = np.unique(left * len(held) + right)
        found.append(np.stack([keys // len(held), keys % len(held)], axis=1))
    return np.concatenate(found)


class _Sieve:
    """Finds the few of many hashes that stand among given ones (sorted): first by a bit table, then by search."""

    _BITS = 22

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self.words = words
        self.table = np.zeros(1 << self._BITS, bool)
        self.table[self._slot(words)] = True

    def _slot(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return hashes >> np.uint64(64 - self._BITS)

    def find(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (positions in `hashes`, positions in the words) of the hashes that the words contain."""
        if not len(self.words):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        maybe = np.flatnonzero(self.table[self._slot(hashes)])
        place = np.minimum(np.searchsorted(self.words, hashes[maybe]), len(self.words) - 1)
        right = self.words[place] == hashes[maybe]
        return maybe[right], place[right]
