"""Finds the copies of a problem and keeps the best-labelled one, with each pair and its similarity.

Four grades, each its own reason:
  duplicate_exact  the same text but for white space; or the same words, numbers and operators with the same label
                   (answer or tests), whatever case, punctuation and dress of LaTeX
  duplicate_near   the same label, the same numbers, operators and letters in the same order, and nearly the same words
  duplicate_words  written by people, and the same words and numbers in the same order, though signs, operators or
                   the label differ ("k > 0" and "k < 0"): one of two that teach the same is enough
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise

import numpy as np

from ringlite_cli.data.rows import Drop, Row, Sifted
from ringlite_cli.data.text import collapse, grams, label_key, signature, tokens

NEAR = 0.7  # Jaccard index of word bigrams
_ALL_PAIRS = 48  # blocks up to this size are compared pair by pair, larger ones by MinHash LSH
_PERMUTATIONS = 64


def drop_duplicates(rows: Sequence[Row]) -> Sifted:
    """Drops every copy but the best-labelled. Rows keep their order; ties go to the earlier row."""
    words = [tokens(r.problem.prompt) for r in rows]
    gone: dict[int, Drop] = {}
    labels = [label_key(r.problem) for r in rows]
    _drop_groups(rows, gone, "duplicate_exact", [collapse(r.problem.prompt) for r in rows])
    _drop_groups(rows, gone, "duplicate_exact", [(tuple(w), k) for w, k in zip(words, labels, strict=True)])
    _drop_near(rows, gone, words, labels)
    human = [None if r.procedural else _bare(w) for r, w in zip(rows, words, strict=True)]
    _drop_groups(rows, gone, "duplicate_words", human)
    kept = [row for i, row in enumerate(rows) if i not in gone]
    return Sifted(kept, [gone[i] for i in sorted(gone)])


def same_problem(words: Sequence[str], others: Sequence[str], procedural: bool) -> float | None:
    """The similarity of two prompts that agree in signature and label, or None where they are different problems.

    Procedural prompts must hold one another's tokens in order (a filler word was added); others must be near in words.
    """
    score = _jaccard(words, others)
    if procedural:
        short, long = sorted((words, others), key=len)
        return score if len(long) <= len(short) + 6 and _is_inside(short, long) else None
    return score if score >= NEAR else None


def _bare(words: Sequence[str]) -> tuple[str, ...] | None:
    """Words and numbers alone; None where there are too few to tell problems apart."""
    bare = tuple(w for w in words if w[0].isalnum())
    return bare if len(bare) > 2 else None


def _is_inside(short: Sequence[str], long: Sequence[str]) -> bool:
    rest = iter(long)
    return all(token in rest for token in short)


def _jaccard(words: Sequence[str], others: Sequence[str]) -> float:
    one, two = _bigrams(words), _bigrams(others)
    return len(one & two) / max(len(one | two), 1)


def _bigrams(words: Sequence[str]) -> set[tuple[str, ...]]:
    return set(pairwise(words)) if len(words) > 1 else {tuple(words)}


def _rank(rows: Sequence[Row], i: int) -> tuple[bool, bool, bool, int]:
    """Sorts the best-labelled first: verified by a worked trace, with a trace, with labels, earlier."""
    row = rows[i]
    return (row.verified not in ("trace", "solution"), row.problem.trace is None, not row.problem.labels, i)


def _drop_groups(rows: Sequence[Row], gone: dict[int, Drop], reason: str, keys: Sequence[Hashable | None]) -> None:
    """Drops, in every group of rows with one key that are still in, all but the best; a None key stands alone."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if key is not None and i not in gone:
            groups[key].append(i)
    for group in groups.values():
        if len(group) > 1:
            best = min(group, key=lambda i: _rank(rows, i))
            for i in group:
                if i != best:
                    gone[i] = _drop(rows, i, best, reason, 1.0)


def _drop(rows: Sequence[Row], i: int, best: int, reason: str, score: float) -> Drop:
    one, two = rows[i].problem, rows[best].problem
    differ = label_key(one) != label_key(two)
    detail = f"the answers differ: {one.answer} and {two.answer}" if differ and not one.tests else ""
    return Drop(one, reason, detail, two, score)


def _drop_near(rows: Sequence[Row], gone: dict[int, Drop], words: list[list[str]], labels: list[str]) -> None:
    """Compares within blocks of rows that agree in label and signature; most blocks have one row."""
    blocks: dict[Hashable, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        if i not in gone:
            blocks[labels[i], signature(words[i])].append(i)
    for block in blocks.values():
        if len(block) < 2:
            continue
        ranked = sorted(block, key=lambda i: _rank(rows, i))
        for best, other in _candidates(ranked, words):
            if best in gone or other in gone:
                continue
            score = same_problem(words[best], words[other], rows[best].procedural or rows[other].procedural)
            if score is not None:
                gone[other] = _drop(rows, other, best, "duplicate_near", score)


def _candidates(ranked: Sequence[int], words: list[list[str]]) -> Iterable[tuple[int, int]]:
    """Pairs (better, worse) worth comparing, in the order of the ranking."""
    if len(ranked) <= _ALL_PAIRS:
        return ((a, b) for place, a in enumerate(ranked) for b in ranked[place + 1 :])
    return _by_minhash(ranked, words)


def _by_minhash(ranked: Sequence[int], words: list[list[str]]) -> Iterable[tuple[int, int]]:
    """The pairs whose MinHash signatures collide (datasketch), for blocks too large for all pairs."""
    from datasketch import MinHash, MinHashLSH

    corpus = grams((words[i] for i in ranked), 2)
    lsh = MinHashLSH(threshold=NEAR - 0.1, num_perm=_PERMUTATIONS)
    for place in range(len(ranked)):
        sketch = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int)
        sketch.update_batch((corpus.of(place) >> np.uint64(32)).tolist())
        for earlier in sorted(lsh.query(sketch)):
            yield ranked[earlier], ranked[place]
        lsh.insert(place, sketch)
