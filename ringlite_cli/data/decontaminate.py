"""Takes problems that stand in held-out sets out of the others, precisely, with each pair and its score.

Text is compared by the 8-grams of its tokens. A gram that many problems share is boilerplate ("where m and n are
relatively prime positive integers"), so a gram in more documents than `FEW` weighs (FEW / documents)^2; the score of a
pair is the weighted Jaccard index of its grams, or their containment where a held-out problem stands whole inside a
longer text. Procedural problems differ in nothing but numbers, so one of them is a copy only when it is the same
problem (`duplicates.same_problem`), however alike the wording.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.duplicates import same_problem
from ringlite_cli.data.rows import Drop, Row, Sifted
from ringlite_cli.data.text import Grams, grams, label_key, signature, tokens

GRAM = 8
JACCARD = 0.5
CONTAINMENT = 0.8
MIN_CONTAINED = 12  # grams that a held-out problem must have for containment to mean anything
FEW = 20
_RARE = 200  # a pair is looked at when it shares a gram that at most so many documents have


def decontaminate(rows: Sequence[Row], held: Sequence[Row]) -> Sifted:
    """Drops each row that repeats a held-out one, with reason "contamination", the pair and its score."""
    row_tokens = [tokens(r.problem.prompt) for r in rows]
    held_tokens = [tokens(r.problem.prompt) for r in held]
    found = _same(rows, row_tokens, held, held_tokens)
    for i, j, score in near_pairs(grams(row_tokens, GRAM), grams(held_tokens, GRAM)):
        generated = rows[i].procedural or held[j].procedural
        if not generated and (i not in found or found[i][1] < score):
            found[i] = (j, score)
    sifted = Sifted()
    for i, row in enumerate(rows):
        if i in found:
            j, score = found[i]
            sifted.drops.append(Drop(row.problem, "contamination", other=held[j].problem, score=score))
        else:
            sifted.kept.append(row)
    return sifted


def _same(
    rows: Sequence[Row], row_tokens: list[list[str]], held: Sequence[Row], held_tokens: list[list[str]]
) -> dict[int, tuple[int, float]]:
    """Row -> (held-out row, score) where the tokens are equal, or the problem is the same but for filler words."""
    exact: dict[tuple[str, ...], int] = {}
    alike: dict[tuple[tuple[str, ...], str], list[int]] = defaultdict(list)
    for j, words in enumerate(held_tokens):
        exact.setdefault(tuple(words), j)
        alike[signature(words), label_key(held[j].problem)].append(j)
    found: dict[int, tuple[int, float]] = {}
    for i, words in enumerate(row_tokens):
        j = exact.get(tuple(words), -1)
        if j >= 0:
            found[i] = (j, 1.0)
            continue
        for j in alike.get((signature(words), label_key(rows[i].problem)), ()):
            score = same_problem(words, held_tokens[j], rows[i].procedural or held[j].procedural)
            if score is not None:
                found[i] = (j, score)
                break
    return found


def near_pairs(
    documents: Grams, held: Grams, *, jaccard: float = JACCARD, containment: float = CONTAINMENT
) -> list[tuple[int, int, float]]:
    """(document, held-out document, score) of every near copy, ordered by document and held-out document."""
    every = np.concatenate([documents.hashes, held.hashes])
    _, inverse, frequency = np.unique(every, return_inverse=True, return_counts=True)
    weights = np.minimum(1.0, FEW / np.maximum(frequency, 1)) ** 2
    doc_ids, held_ids = inverse[: len(documents.hashes)], inverse[len(documents.hashes) :]
    doc_mass = _mass(weights[doc_ids], documents)
    held_mass = _mass(weights[held_ids], held)
    left, right, shared = _overlaps(doc_ids, documents, held_ids, held, weights, frequency)
    if not len(left):
        return []
    similarity = shared / np.maximum(doc_mass[left] + held_mass[right] - shared, 1e-12)
    inside = np.where(np.diff(held.offsets)[right] >= MIN_CONTAINED, shared / np.maximum(held_mass[right], 1e-12), 0.0)
    hit = (similarity >= jaccard) | (inside >= containment)
    score = np.minimum(np.where(similarity >= jaccard, similarity, inside), 1.0)
    return sorted(zip(left[hit].tolist(), right[hit].tolist(), score[hit].tolist(), strict=True))


def _mass(weights: NDArray[np.float64], corpus: Grams) -> NDArray[np.float64]:
    """Total weight of each document's grams, (documents,)."""
    return np.bincount(corpus.owners(), weights=weights, minlength=len(corpus)).astype(np.float64)


def _overlaps(
    doc_ids: NDArray[np.int64],
    documents: Grams,
    held_ids: NDArray[np.int64],
    held: Grams,
    weights: NDArray[np.float64],
    frequency: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(document, held-out document, shared weight) of the pairs that share a rare gram.

    Common grams are left out of the shared weight too: at most (FEW / _RARE)^2 = 1 % of a rare gram's each.
    """
    rare = frequency[held_ids] <= _RARE
    order = np.argsort(held_ids[rare], kind="stable")
    index, owners = held_ids[rare][order], held.owners()[rare][order]
    first, last = np.searchsorted(index, doc_ids, "left"), np.searchsorted(index, doc_ids, "right")
    counts = last - first
    left = np.repeat(documents.owners(), counts)
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    right = owners[np.repeat(first, counts) + steps]
    pairs, inverse = np.unique(left * max(len(held), 1) + right, return_inverse=True)
    shared = np.bincount(inverse, weights=weights[np.repeat(doc_ids, counts)], minlength=len(pairs)).astype(np.float64)
    return pairs // max(len(held), 1), pairs % max(len(held), 1), shared
