"""Labels for all rows: by rules; then, for what the rules had only words to go by, by embeddings or by a model.

A label that the source gives stays. `labelled_by` says of each how it was made ("words", "embeddings: nearest class",
"model NAME"). With embeddings a row gets the class whose centre is nearest: the mean of its name and of the
rows that the source itself puts there. A model is asked once a row and says the class and the level as JSON;
what it says is taken where it names a known one, else the label stays as it was.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ringlite_cli.data.adapters import EDUCATION
from ringlite_cli.data.asking import Asking
from ringlite_cli.data.labels import CLASSES, VAGUE, label
from ringlite_cli.data.rows import CuratedRow, Progress, ticking
from ringlite_cli.data.semantic import embed, embed_rows
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.schema import Responder
from ringlite_cli.thoughts import answer_part

LEVELS = tuple(dict.fromkeys(EDUCATION.values()))
_JSON = re.compile(r"\{[^{}]*\}")
_WEAK = ("words", "embeddings")  # what a better way may replace


def label_rows(
    rows: Sequence[CuratedRow],
    *,
    embeddings: bool,
    model: Responder | None,
    asking: Asking | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Label all rows; return what the funnel says of a model that was asked."""
    notes: dict[str, Any] = {}
    for row in ticking(rows, "labelling", progress, len(rows)):
        problem = row.problem
        row.problem = replace(problem, labels=label(problem, row.verified))
    if embeddings:
        label_by_embeddings(rows, progress)
    if model and asking:
        notes["labels_by_model"] = label_by_model(rows, model, asking)
    return notes


def class_name(domain: str) -> str | None:
    """The label that holds a domain's class."""
    return {"math": "subject_class", "code": "topic", "science": "topic"}.get(domain)


def label_by_embeddings(rows: Sequence[CuratedRow], progress: Progress | None = None) -> int:
    """Give the rows whose class words alone decided the nearest class; return how many."""
    of_domain: dict[str, list[CuratedRow]] = defaultdict(list)
    for row in rows:
        of_domain[row.problem.domain].append(row)
    return sum(_nearest(domain, here, progress) for domain, here in of_domain.items() if class_name(domain))


def _nearest(domain: str, rows: Sequence[CuratedRow], progress: Progress | None) -> int:
    name = class_name(domain) or ""
    names = [key for key in CLASSES[domain] if key not in VAGUE]
    weak = [i for i, row in enumerate(rows) if _is_weak(row.problem, name)]
    if not weak:
        return 0
    vectors = embed_rows(rows, progress)
    centres = embed([f"a {domain} problem about {CLASSES[domain][key]}" for key in names])
    weak_set = set(weak)
    for i, row in enumerate(rows):
        given = row.problem.labels.get(name)
        if i not in weak_set and given in names:
            centres[names.index(given)] += vectors[i]
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    for i in weak:
        best = int(np.argmax(centres @ vectors[i]))
        _put(rows[i], {name: names[best]}, "embeddings: nearest class")
    return len(weak)


def label_by_model(rows: Sequence[CuratedRow], responder: Responder, asking: Asking) -> dict[str, int]:
    """Ask for the labels of train rows that the source and rules leave open; return {"asked", "labelled"}."""
    wanted = [r for r in rows if r.split == "train" and _open_labels(r.problem)]
    questions = [CuratedRow(_question(r.problem), "train") for r in wanted]
    answers = replace(asking, verify=_readable).ask(questions, responder, 1, "labels")
    labelled = 0
    for row, responses in zip(wanted, answers, strict=True):
        said = _said(responses[0].text, row.problem)
        made = {name: said[name] for name in _open_labels(row.problem) if name in said}
        _put(row, made, f"model {responder.name}")
        labelled += bool(made)
    return {"asked": len(wanted), "labelled": labelled}


def _is_weak(problem: Problem, name: str) -> bool:
    return str(problem.labels.get("labelled_by", {}).get(name, "words")).startswith(_WEAK)


def _open_labels(problem: Problem) -> list[str]:
    """The labels that a model may make or better."""
    name = class_name(problem.domain)
    found = [name] if name and _is_weak(problem, name) else []
    return found + (["education"] if name and "education" not in problem.labels else [])


def _question(problem: Problem) -> Problem:
    """Return what the model is asked; of the domain `general`, so that no suffix asks for a box."""
    classes = "\n".join(f"{key}: {about}" for key, about in CLASSES[problem.domain].items())
    prompt = (
        "Classify the problem below; do not solve it.\n\n"
        f"Classes:\n{classes}\n\nLevels: {', '.join(LEVELS)}\n\n"
        f"Problem:\n{problem.prompt}\n\n"
        'Reply with one line of JSON and nothing else: {"class": "<a class before the colon>", "level": "<a level>"}'
    )
    return Problem(problem.id, "general", prompt, source=problem.source, index=problem.index)


def _said(text: str, problem: Problem) -> dict[str, Any]:
    """The known labels of a reply's last JSON object, thoughts aside."""
    try:
        reply = json.loads(_JSON.findall(answer_part(text))[-1])
    except (IndexError, json.JSONDecodeError):
        return {}
    given, level = str(reply.get("class", "")).strip(), str(reply.get("level", "")).strip().lower()
    known = {key.lower(): key for key in CLASSES[problem.domain]}
    said = {class_name(problem.domain) or "": known[given.lower()]} if given.lower() in known else {}
    return said | ({"education": level} if level in LEVELS else {})


def _readable(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    """A reply to a question for labels is right when it holds JSON."""
    return [
        Verdict("labels", 1.0) if _JSON.search(answer_part(text)) else Verdict("no labels", 0.0) for _, text in pairs
    ]


def _put(row: CuratedRow, made: dict[str, Any], how: str) -> None:
    if made:
        labels = row.problem.labels
        by = {**labels.get("labelled_by", {}), **dict.fromkeys(made, how)}
        row.change(labels={**labels, **made, "labelled_by": by})
