"""Splits one source into train, select and eval by shares, with near-copies of a problem in one split.

Rows belong together where they have equal words, or where they share a MinHash band and their answers or all of their
numbers and operators agree; so do rows out of one conversation. Groups are drawn in a seeded order, each into the split
that is furthest behind its share, groups of more than a hundredth of the source first.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.features import BANDS, Features, measure
from ringlite_cli.data.rows import CuratedRow, Progress
from ringlite_cli.data.text import stable_hash
from ringlite_cli.recipe.schema import Split

_LARGE = 0.01
Keys = NDArray[np.uint64]


def split_rows(
    rows: Sequence[CuratedRow],
    shares: Mapping[Split, float],
    seed: int,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Give each row its split. Equal rows and seed give equal splits, to within one group of each share.

    folder: takes a temporary file of what was measured; without it that stays in memory.
    """
    if not rows:
        return
    groups = _groups(rows, measure(rows, folder=folder, progress=progress))
    order = sorted(groups, key=lambda g: stable_hash(f"{seed}/split/{rows[g[0]].problem.id}"))
    order.sort(key=lambda g: -len(g) if len(g) > _LARGE * len(rows) else 0)
    whole = sum(shares.values())
    behind = {split: share / whole * len(rows) for split, share in shares.items()}
    for group in order:
        split = max(behind, key=lambda name: behind[name])
        behind[split] -= len(group)
        for place in group:
            rows[place].split = split
            rows[place].split_off = True


def _groups(rows: Sequence[CuratedRow], features: Features) -> list[list[int]]:
    """The places of rows that belong together, ascending; every row is in one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = [np.zeros((2, 0), np.int64), *map(_links, _keys(rows, features))]
    ones, twos = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(ones), np.int8), (ones, twos)), shape=(len(rows), len(rows)))
    number, names = connected_components(graph, directed=False)
    groups: list[list[int]] = [[] for _ in range(number)]
    for place, name in enumerate(names.tolist()):
        groups[name].append(place)
    return groups


def _keys(rows: Sequence[CuratedRow], features: Features) -> Iterator[Keys]:
    """(rows,) arrays: rows with one key belong together, but for key 0."""
    yield features.words
    yield np.array([row.problem.index + 1 for row in rows], np.uint64)
    unlabelled = features.label == np.uint64(stable_hash(""))
    for band in range(BANDS):
        one = features.bands[:, band]
        yield np.where((one == 0) | unlabelled, np.uint64(0), _mixed(one, features.label))
        yield np.where(one == 0, np.uint64(0), _mixed(one, features.sign))


def _mixed(one: Keys, two: Keys) -> Keys:
    return ((one * np.uint64(0x9E3779B97F4A7C15)) ^ two) | np.uint64(1)


def _links(keys: Keys) -> NDArray[np.int64]:
    """(2, edges): each row with the one before it that has the same key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    return np.stack([order[:-1][same], order[1:][same]]).astype(np.int64)
