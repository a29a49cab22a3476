"""Takes problems that stand in held-out sets out of the others, precisely, with each pair and its score.

Text is compared by the 8-grams of its tokens. A gram that many problems share is boilerplate ("where m and n are
relatively prime positive integers"), so a gram in more documents than `FEW` weighs (FEW / documents)^2; the score of a
pair is the weighted Jaccard index of its grams, or their containment where a held-out problem stands whole inside a
longer text. Half is enough, and 0.4 where the answers and all numbers agree. Procedural problems differ in nothing but
numbers, so one of them is a copy only when it is the same problem (`duplicates.same_problem`), however alike the words.

The documents' grams stay on disk and are read in parts; memory holds those of the held-out problems and of the few
documents that share a rare one with them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.duplicates import same_problem
from ringlite_cli.data.features import Features, measure
from ringlite_cli.data.rows import Drop, Row, Sifted
from ringlite_cli.data.text import Grams, numbers, tokens

JACCARD = 0.5
AGREEING = 0.4  # enough where the answers and all numbers agree
CONTAINMENT = 0.8
MIN_CONTAINED = 12  # grams that a held-out problem must have for containment to mean anything
FEW = 20
_RARE = 200  # a pair is looked at when it shares a gram that at most so many documents have
_PART = 20_000  # documents read at a time


def decontaminate(
    rows: Sequence[Row], held: Sequence[Row], features: Features | None = None, held_features: Features | None = None
) -> Sifted:
    """Drops each row that repeats a held-out one, with reason "contamination", the pair and its score.

    features: of `rows`, all of them and in order; held_features: of `held`, likewise. Both are measured where missing.
    """
    features = features or measure(rows)
    held_features = held_features or measure(held)
    found = _same(rows, features, held, held_features)
    for i, j, score in near_pairs(features.grams, held_features.grams, jaccard=AGREEING):
        alike = score >= JACCARD or (features.label[i] == held_features.label[j] and _same_numbers(rows[i], held[j]))
        if alike and not (rows[i].procedural or held[j].procedural) and (i not in found or found[i][1] < score):
            found[i] = (j, score)
    sifted = Sifted()
    for i, row in enumerate(rows):
        if i in found:
            j, score = found[i]
            sifted.drops.append(Drop(row, "contamination", against=held[j], score=score))
        else:
            sifted.kept.append(row)
    return sifted


def _same_numbers(one: Row, two: Row) -> bool:
    return numbers(tokens(one.problem.prompt)) == numbers(tokens(two.problem.prompt))


def _same(rows: Sequence[Row], own: Features, held: Sequence[Row], other: Features) -> dict[int, tuple[int, float]]:
    """Row -> (held-out row, score) where the tokens are equal, or the problem is the same but for filler words."""
    found: dict[int, tuple[int, float]] = {}
    for i, candidates in _equal(own.words, other.words):
        found[i] = (candidates[0], 1.0)
    for i, candidates in _equal(_pair_key(own), _pair_key(other)):
        words = tokens(rows[i].problem.prompt) if i not in found else []
        for j in candidates if i not in found else ():
            procedural = rows[i].procedural or held[j].procedural
            score = same_problem(words, tokens(held[j].problem.prompt), procedural)
            if score is not None:
                found[i] = (j, score)
                break
    return found


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
    documents: Grams, held: Grams, *, jaccard: float = JACCARD, containment: float = CONTAINMENT
) -> list[tuple[int, int, float]]:
    """(document, held-out document, score) of every near copy, ordered by document and held-out document."""
    vocabulary = np.unique(held.hashes)
    if not len(vocabulary) or not len(documents.hashes):
        return []
    frequency = _document_frequency(vocabulary, documents, held)
    pairs = _sharing_rare(vocabulary, frequency, documents, held)
    if not len(pairs):
        return []
    candidates, left = np.unique(pairs[:, 0], return_inverse=True)
    near = documents.take(candidates)
    words = np.unique(np.concatenate([near.hashes, vocabulary]))
    weights = _weights(_document_frequency(words, documents, held))
    own, other = _weigh(near, words, weights), _weigh(held, words, weights)
    own_mass, other_mass = _mass(own, near), _mass(other, held)
    right = pairs[:, 1]
    shared = np.array([_shared(near, held, own, a, b) for a, b in zip(left.tolist(), right.tolist(), strict=True)])
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


def _parts(corpus: Grams) -> Iterator[tuple[int, Grams]]:
    return ((start, corpus.part(start, start + _PART)) for start in range(0, len(corpus), _PART))


def _document_frequency(words: NDArray[np.uint64], *corpora: Grams) -> NDArray[np.int64]:
    """In how many documents of the corpora each of the (sorted) words occurs."""
    sieve = _Sieve(words)
    counts = np.zeros(len(words), np.int64)
    for corpus in corpora:
        for _, part in _parts(corpus):
            _, places = sieve.find(part.hashes)
            counts += np.bincount(places, minlength=len(words))
    return counts


def _sharing_rare(
    vocabulary: NDArray[np.uint64], frequency: NDArray[np.int64], documents: Grams, held: Grams
) -> NDArray[np.int64]:
    """(pairs, 2): the documents and held-out documents that share a gram which few documents have, without repeats."""
    rare = vocabulary[frequency <= _RARE]
    sieve = _Sieve(rare)
    held_at, held_place = sieve.find(held.hashes)
    order = np.argsort(held_place, kind="stable")
    index, owners = held_place[order], held.owners()[held_at][order]
    found = [np.zeros((0, 2), np.int64)]
    for start, part in _parts(documents):
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
        """(positions in `hashes`, positions in the words) of those that are there."""
        if not len(self.words):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        maybe = np.flatnonzero(self.table[self._slot(hashes)])
        place = np.minimum(np.searchsorted(self.words, hashes[maybe]), len(self.words) - 1)
        right = self.words[place] == hashes[maybe]
        return maybe[right], place[right]
