"""What the steps of curation need to know of each row's text, measured once, on all cores, in small arrays.

A row's features take about 220 bytes beside the hashes of its 8-grams, which go to a memory-mapped file; no step after
this one needs the texts, but for the few pairs that are looked at closely.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.boilerplate import Boilerplate, find_boilerplate
from ringlite_cli.data.cleansing import is_benchmark, reasons_of
from ringlite_cli.data.rows import CuratedRow, Progress, read_spooled
from ringlite_cli.data.rules import LANGUAGES
from ringlite_cli.data.sameness import quantities
from ringlite_cli.data.text import (
    NO_GRAMS,
    Grams,
    Kinds,
    Vocabulary,
    collapse,
    compared_tokens,
    joined,
    label_key,
    signature,
    stable_hash,
    tokens,
)
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import CONTEXT, Problem

GRAM = 8
BANDS, BAND_ROWS = 16, 4  # two texts that share 0.7 of their word pairs meet in a band 99 times of 100, 0.85: always
CHUNK = 2000
PARALLEL_FROM = 20_000  # rows below which starting processes costs more than it saves
BENCHMARK, PROCEDURAL, STRICT = 1, 2, 4


@dataclass
class Features:
    """One entry a row, in the order of the rows that were measured.

    text, words, affix, label, sign: 64-bit hashes of the prompt without white space, of its tokens without what its
      source's prompts share, of numbers and named quantities in that (0 = none), of the answer or tests, of numbers and
      operators.
    bands: (rows, BANDS) uint64, MinHash signatures by band; zeros for procedural rows.
    size: tokens of the prompt.   code: of the domain code.   reasons, trace_reasons: what the text rules say.
    boilerplate: what the prompts of each source share.
    """

    text: NDArray[np.uint64]
    words: NDArray[np.uint64]
    affix: NDArray[np.uint64]
    label: NDArray[np.uint64]
    sign: NDArray[np.uint64]
    size: NDArray[np.int64]
    code: NDArray[np.bool_]
    bands: NDArray[np.uint64]
    reasons: list[str | None]
    trace_reasons: list[str | None]
    grams: Grams
    boilerplate: Boilerplate = field(default_factory=Boilerplate)

    ARRAYS: ClassVar[tuple[str, ...]] = ("text", "words", "affix", "label", "sign", "size", "code", "bands")

    def __len__(self) -> int:
        return len(self.text)

    def tokens(self, problem: Problem) -> list[str]:
        """The tokens of a prompt without what its source's prompts share."""
        text = said_before(problem) + self.boilerplate.core(problem.prompt, problem.source)[0]
        return compared_tokens(problem, text)

    def facts(self, problem: Problem) -> list[str]:
        """The numbers, operators and single letters of a prompt, sorted: what a paraphrase leaves as it is."""
        return sorted(signature(self.tokens(problem)))

    def take(self, places: NDArray[np.int64], *, grams: bool = True) -> "Features":
        """The features of those rows alone, in that order, in memory; without the grams where no one needs them."""
        return Features(
            **{name: getattr(self, name)[places] for name in self.ARRAYS},
            reasons=[self.reasons[i] for i in places.tolist()],
            trace_reasons=[self.trace_reasons[i] for i in places.tolist()],
            grams=self.grams.take(places) if grams else NO_GRAMS,
            boilerplate=self.boilerplate,
        )


def merged(parts: Iterable[Boilerplate]) -> Boilerplate:
    """Return what several measurements know of shared text."""
    found = Boilerplate()
    for part in {id(p): p for p in parts}.values():
        found.shared |= part.shared
        found.counts |= part.counts
    return found


def join(parts: Sequence[Features], grams: Grams | None = None) -> Features:
    """Several measurements as one, in order; `grams` where they are at hand already."""
    return Features(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in Features.ARRAYS},
        reasons=[r for p in parts for r in p.reasons],
        trace_reasons=[r for p in parts for r in p.trace_reasons],
        grams=joined([p.grams for p in parts]) if grams is None else grams,
        boilerplate=merged(p.boilerplate for p in parts),
    )


def measure(
    rows: Sequence[CuratedRow],
    *,
    languages: Sequence[str] = LANGUAGES,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    boilerplate: Boilerplate | None = None,
) -> Features:
    """Measure rows and tell each its place. `folder` takes the grams' file; without it they stay in memory.

    boilerplate: what the prompts of each source share; looked for among the rows where it is missing.

    Rows that are spooled are measured on `workers` processes (default: the cores at hand) when there are many.
    """
    for place, row in enumerate(rows):
        row.place = place
    boilerplate = find_boilerplate(rows) if boilerplate is None else boilerplate
    context = _Context(tuple(languages), boilerplate)
    workers = workers or _cores()
    spooled = bool(rows) and all(r.offset >= 0 for r in rows)
    parts: list[Features] = [_of([], [], context)]
    writer = GramFile(folder / "grams.u64") if folder else None
    parallel = spooled and workers > 1 and len(rows) >= PARALLEL_FROM
    done = 0
    if progress and rows:
        progress("reading the texts", 0, len(rows))  # the processes take seconds to start
    for part in _by_processes(rows, context, workers) if parallel else _here(rows, context):
        done += len(part)
        if progress:
            progress("reading the texts", done, len(rows))
        if writer:
            writer.add(part.grams)
            part.grams = NO_GRAMS
        parts.append(part)
    features = join(parts, writer.close() if writer else None)
    features.boilerplate = boilerplate
    return features


@dataclass(frozen=True)
class _Context:
    """What measuring needs beside the rows."""

    languages: tuple[str, ...]
    boilerplate: Boilerplate


class GramFile:
    """Grams on their way to disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.sizes = path, [np.zeros(1, np.int64)]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")

    def add(self, grams: Grams) -> None:
        self._file.write(grams.hashes.tobytes())
        self.sizes.append(np.diff(grams.offsets))

    def close(self) -> Grams:
        """The grams of all that was added, memory-mapped; the file loses its name at once."""
        self._file.close()
        offsets = np.cumsum(np.concatenate(self.sizes)).astype(np.int64)
        empty = np.zeros(0, np.uint64)
        hashes = np.memmap(self.path, np.uint64, "r", shape=(int(offsets[-1]),)) if offsets[-1] else empty
        self.path.unlink()
        return Grams(hashes, offsets)


def _flags(row: CuratedRow) -> int:
    return BENCHMARK * is_benchmark(row) + PROCEDURAL * row.procedural + STRICT * row.strict


def _chunks(rows: Sequence[CuratedRow]) -> Iterator[Sequence[CuratedRow]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _here(rows: Sequence[CuratedRow], context: "_Context") -> Iterator[Features]:
    for chunk in _chunks(rows):
        yield _of([r.problem for r in chunk], [_flags(r) for r in chunk], context)


def _by_processes(rows: Sequence[CuratedRow], context: "_Context", workers: int) -> Iterator[Features]:
    """Yield the chunks' features in order, with at most a few chunks under way, so that results never pile up."""
    spool = rows[0].spool
    assert spool is not None
    spool.flush()
    waiting: deque[Future[Features]] = deque()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for chunk in _chunks(rows):
            offsets, flags = [r.offset for r in chunk], [_flags(r) for r in chunk]
            waiting.append(pool.submit(_of_spooled, str(spool.path), offsets, flags, context))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@lru_cache(1)
def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


def _of_spooled(path: str, offsets: list[int], flags: list[int], context: "_Context") -> Features:
    return _of([read_spooled(_opened(path), offset) for offset in offsets], flags, context)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _of(problems: Sequence[Problem], flags: Sequence[int], context: "_Context") -> Features:
    cores = [_core(p, f, context.boilerplate) for p, f in zip(problems, flags, strict=True)]
    words = [compared_tokens(p, core) for p, (core, _) in zip(problems, cores, strict=True)]
    kinds = Kinds()
    vocabulary = Vocabulary.of(words)
    asked = zip(problems, flags, cores, strict=True)
    reasons = [
        reasons_of(p, bool(f & BENCHMARK), context.languages, core, strict=bool(f & STRICT))
        for p, f, (core, _) in asked
    ]
    return Features(
        hashes(collapse(said_before(p) + p.prompt) for p in problems),
        hashes("\x1f".join(w) for w in words),
        _affixes(cores),
        hashes(label_key(p) for p in problems),
        hashes("\x1f".join(signature(w, kinds)) for w in words),
        vocabulary.lengths,
        np.array([writes_code(p.domain) for p in problems], bool),
        _sketches(vocabulary, flags),
        [reason for reason, _ in reasons],
        [reason for _, reason in reasons],
        vocabulary.grams(GRAM),
    )


def _affixes(cores: Sequence[tuple[str, str]]) -> NDArray[np.uint64]:
    named = {affix: "\x1f".join(sorted(quantities(tokens(affix)))) for affix in {affix for _, affix in cores}}
    return hashes(named[affix] or None for _, affix in cores)


def _core(problem: Problem, flags: int, boilerplate: Boilerplate) -> tuple[str, str]:
    core, affix = (problem.prompt, "") if flags & PROCEDURAL else boilerplate.core(problem.prompt, problem.source)
    return said_before(problem) + core, affix


def said_before(problem: Problem) -> str:
    """The turns before the prompt, without system prompts: "Double that" asks another thing after another turn."""
    turns = problem.labels.get(CONTEXT)
    return "".join(f"{turn.get('content')}\n" for turn in turns if turn.get("role") != "system") if turns else ""


def hashes(texts: Any) -> NDArray[np.uint64]:
    return np.array([stable_hash(t) if t is not None else 0 for t in texts], dtype=np.uint64)


def bare(words: Sequence[str]) -> str | None:
    """Words and numbers alone; None where there are too few to tell problems apart."""
    kept = [w for w in words if w[0].isalnum()]
    return "\x1f".join(kept) if len(kept) > 2 else None


@cache
def permutations() -> NDArray[np.uint32]:
    """Return the factors and terms of MinHash's permutations h -> factor * h + term mod 2^32; (2, BANDS * BAND_ROWS).

    An odd factor makes each a permutation. The numbers are those of datasketch's scheme "affine32" with seed 1.
    """
    drawn, count = np.random.RandomState(1), BANDS * BAND_ROWS
    factors = drawn.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return np.stack([factors, drawn.randint(0, 1 << 32, count, dtype=np.uint32)])


def _sketches(vocabulary: Vocabulary, flags: Sequence[int]) -> NDArray[np.uint64]:
    """(rows, BANDS): each band of a MinHash of the word pairs, hashed; procedural and empty rows have none.

    One permutation at a time over all rows.
    """
    bands = np.zeros((len(flags), BANDS), np.uint64)
    procedural = np.array(flags, np.int64) & PROCEDURAL
    wanted = np.flatnonzero((procedural == 0) & (vocabulary.lengths > 0))
    if not len(wanted):
        return bands
    pairs = vocabulary.grams(2).take(wanted)
    hashes = (pairs.hashes >> np.uint64(32)).astype(np.uint32)
    total = np.zeros((len(wanted), BANDS), np.uint64)
    for number, (factor, term) in enumerate(permutations().T):
        band = number // BAND_ROWS
        total[:, band] ^= np.minimum.reduceat(hashes * factor + term, pairs.offsets[:-1])
        total[:, band] *= np.uint64(0x9E3779B97F4A7C15)
        total[:, band] ^= total[:, band] >> np.uint64(31)
    bands[wanted] = total
    return bands
