"""Finds the copies of a problem and keeps the best-labelled one, with each pair and its similarity.

Each grade is its own reason:
  duplicate_exact  the same words, numbers and operators with the same label (answer or tests), whatever white space,
                   case, punctuation and dress of LaTeX, and whatever all prompts of a source share
  duplicate_near   the same label, the same numbers, operators and letters in the same order, and nearly the same words;
                   or, written by people, the same label (for code: any tests) and all but a few words the same, none
                   of them a number, an operator or a named quantity
  duplicate_words  where the recipe asks for it: the same words and numbers in the same order, though signs or the
                   label differ ("k > 0" and "k < 0")
Equal texts whose answers differ are no copies: nothing says which is right (conflicts.py).

Pairs worth comparing come from equal hashes: of signature and label, or of a band of a MinHash (an
index would take kilobytes a row, so rows are sorted by band instead). Time grows with rows, not with pairs.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.conflicts import Agree, same_labels, settle
from ringlite_cli.data.features import BANDS, Features, bare, hashes, measure
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted, ticking
from ringlite_cli.data.sameness import asks_otherwise, jaccard, other_facts, same_problem

VERY_NEAR = 0.85  # Jaccard index of word pairs (as bags), where numbers and operators stand in another order
CODE_NEAR = 0.95  # the same for code with other tests: "Last Stone Weight" and "Last Stone Weight II" share 0.89
LONG = 30  # tokens that a text must have for `VERY_NEAR` to mean anything
_LOOK_BACK = 48  # rows of one band or block that a row is compared with at most


def drop_duplicates(
    rows: Sequence[CuratedRow],
    features: Features | None = None,
    *,
    words: bool = False,
    agree: Agree = same_labels,
    keep_conflicts: bool = False,
    progress: Progress | None = None,
) -> Sifted:
    """Drop every copy but the best-labelled. Rows keep their order; ties go to the earlier row.

    words: drop `duplicate_words` too. agree: tells of which pairs of problems the answers are equal.
    keep_conflicts: keep one of several equal texts with different answers, and list it as doubtful.
    """
    own = (features or measure(rows)).take(np.array([r.place for r in rows], np.int64), grams=False)
    gone, doubtful = find_copies(rows, own, words=words, agree=agree, keep_conflicts=keep_conflicts, progress=progress)
    kept = [row for i, row in enumerate(rows) if i not in gone]
    return Sifted(kept, [gone[i] for i in sorted(gone)], doubtful=doubtful)


def find_copies(
    rows: Sequence[CuratedRow],
    own: Features,
    *,
    words: bool,
    agree: Agree,
    keep_conflicts: bool,
    progress: Progress | None = None,
) -> tuple[dict[int, Drop], list[Drop]]:
    """(row -> why it goes, rows that stay although they conflict); own: the features of `rows`, in their order.

    Of `rows` only those that are compared or dropped are asked for.
    """
    pool = _Pool(rows, own, progress)
    pool.drop_equal("duplicate_exact", mixed(own.text, own.label))
    pool.drop_equal("duplicate_exact", mixed(mixed(own.words, own.label), own.affix))
    pool.drop_near()
    if words:
        alone = (None if r.procedural else bare(own.tokens(r.problem)) for r in rows)
        pool.drop_equal("duplicate_words", hashes(alone))
    found = settle(pool.equal_groups(), rows, pool.best_first, agree, keep_conflicts)
    return pool.gone | found.gone, found.doubtful


class _Pool:
    """Rows with their features, and those found to be copies so far."""

    def __init__(self, rows: Sequence[CuratedRow], features: Features, progress: Progress | None = None) -> None:
        self.rows, self.features, self.progress = rows, features, progress
        self.gone: dict[int, Drop] = {}
        self.tokens = lru_cache(100_000 // _LOOK_BACK)(lambda i: features.tokens(self.rows[i].problem))

    def best_first(self, group: Sequence[int]) -> list[int]:
        """A group of copies, the one to keep first."""

        def key(i: int) -> tuple[bool, bool, bool, int]:
            row = self.rows[i]
            problem = row.problem
            return row.verified not in ("trace", "solution", "models"), problem.trace is None, not problem.labels, i

        return sorted(group, key=key)

    def drop_equal(self, reason: str, keys: NDArray[np.uint64]) -> None:
        """Drop all but the best of the remaining rows that share a key. The key 0 is shared by nobody."""
        for group in ticking(groups(keys), "looking for equal texts", self.progress, len(self.rows)):
            here = [i for i in group if i not in self.gone]
            if len(here) > 1:
                best, *others = self.best_first(here)
                for i in others:
                    self.gone[i] = self._drop(i, best, reason, 1.0)

    def equal_groups(self) -> Iterator[list[int]]:
        """Rows still in whose texts are equal, but for what the prompts of one source share."""
        f = self.features
        for group in ticking(groups(f.words), "looking for conflicting answers", self.progress, len(self.rows)):
            here = [i for i in group if i not in self.gone]
            affixes = {a for i in here if (a := int(f.affix[i]))}
            if len(affixes) > 1:
                by_text = [list(same) for same in groups(f.text[here])]
                yield from ([here[i] for i in same] for same in by_text)
            elif len(here) > 1:
                yield here

    def drop_near(self) -> None:
        for one, two in self._candidates():
            if one in self.gone or two in self.gone:
                continue
            score = self._near(one, two)
            if score is not None:
                best, other = self.best_first((one, two))
                self.gone[other] = self._drop(other, best, "duplicate_near", score)

    def _near(self, one: int, two: int) -> float | None:
        f = self.features
        procedural = self.rows[one].procedural or self.rows[two].procedural
        same_label = f.label[one] == f.label[two]
        if f.affix[one] != f.affix[two] and f.affix[one] and f.affix[two]:
            return None  # "Differentiate:" and "Integrate:" before one formula are two problems
        if same_label and f.sign[one] == f.sign[two]:
            return same_problem(self.tokens(one), self.tokens(two), procedural)
        if procedural or min(f.size[one], f.size[two]) < LONG:
            return None
        if not same_label and not (f.code[one] and f.code[two]):
            return None
        words, others = self.tokens(one), self.tokens(two)
        score = jaccard(words, others)
        if score < (VERY_NEAR if same_label else CODE_NEAR):
            return None
        return None if asks_otherwise(words, others) or other_facts(words, others) else score

    def _candidates(self) -> Iterator[tuple[int, int]]:
        """Pairs worth comparing: rows that agree in signature and label, then rows that share a band."""
        f = self.features
        alike = groups(mixed(f.sign, f.label))
        for group in ticking(alike, "comparing texts with equal numbers", self.progress, len(self.rows)):
            yield from self._neighbours(group)
        if not f.bands.any():
            return
        for band in range(BANDS):
            same = groups(f.bands[:, band])
            for group in ticking(same, f"comparing like texts, {band + 1} of {BANDS}", self.progress, len(self.rows)):
                for one, two in self._neighbours(group):
                    if not (f.bands[one, :band] == f.bands[two, :band]).any():  # else it was looked at before
                        yield one, two

    def _neighbours(self, group: Sequence[int]) -> Iterator[tuple[int, int]]:
        """All pairs of a small group; in a large one, each row with those shortly before it."""
        kept: list[int] = []
        for i in group:
            if i in self.gone:
                continue
            yield from ((j, i) for j in kept[-_LOOK_BACK:] if j not in self.gone)
            kept.append(i)

    def _drop(self, i: int, best: int, reason: str, score: float) -> Drop:
        detail = ""
        if self.features.label[i] != self.features.label[best]:
            one, two = self.rows[i].problem, self.rows[best].problem
            detail = "the tests differ" if one.tests else f"the answers differ: {one.answer} and {two.answer}"
        return Drop(self.rows[i], reason, detail, self.rows[best], score)


def mixed(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one key made of two; never 0, which means that a row shares its key with no other."""
    return ((one * np.uint64(0x9E3779B97F4A7C15)) ^ two) | np.uint64(1)


def groups(keys: NDArray[np.uint64]) -> Iterator[list[int]]:
    """The positions of each key that stands more than once, ascending; groups by their first position."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])) if len(keys) else order
    sizes = np.diff(edges)
    several = np.flatnonzero((sizes > 1) & (ordered[edges[:-1]] != 0)) if len(keys) else sizes
    for group in sorted(several.tolist(), key=lambda g: order[edges[g]]):
        yield order[edges[group] : edges[group + 1]].tolist()
