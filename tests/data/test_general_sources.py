"""The public sets of general problems that recipes name, on rows written by hand in their schemas."""

import json
from typing import Any

import pytest

from ringlite_cli.data.adapters import choose
from ringlite_cli.data.needs import problem_reason, trace_reason
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import CurateStage, Source
from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

ROWS: dict[str, dict[str, Any]] = {
    "argilla/ifeval-like-data": {
        "key": 7,
        "prompt": "Name a colour. Use no commas and end with the words: That is all.",
        "response": "Green. That is all.",
        "instruction_id_list": ["punctuation:no_comma", "startend:end_checker"],
        "kwargs": json.dumps([{}, {"end_phrase": "That is all."}]),
        "prompt_level_strict_acc": True,
    },
    "rajpurkar/squad": {
        "id": "5",
        "title": "Tides",
        "context": "The tide at the pier turned shortly after nine in the evening.",
        "question": "When did the tide turn?",
        "answers": {"text": ["shortly after nine in the evening", "after nine"], "answer_start": [28, 36]},
    },
    "abisee/cnn_dailymail": {
        "id": "a1",
        "article": "The town opened its new library on Monday. Children came first, and stayed until it closed.",
        "highlights": "New library opened on Monday.\nChildren stayed until it closed.",
    },
    "HuggingFaceH4/ultrafeedback_binarized": {
        "prompt": "Write me a few words for a friend who moves house.",
        "prompt_id": "00",
        "chosen": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "All the best."}],
    },
    "TIGER-Lab/WebInstruct-verified": {
        "id": 1,
        "question": "A body of 2 kg is pulled by a force of 10 N. What is its acceleration in m/s^2?",
        "answer": "5",
        "answer_type": "Integer",
        "category": "Physics",
        "difficulty": "Senior High School",
    },
    "HuggingFaceTB/smoltalk": {
        "messages": [
            {"role": "user", "content": "Why is bread left to rest?"},
            {"role": "assistant", "content": "So that the dough rises.\n\nIt also gets easier to shape."},
        ],
        "source": "smol-magpie-ultra",
    },
    "google/IFEval": {
        "key": 1000,
        "prompt": "Write about rivers without any commas.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{"num_words": None}],
    },
}
RIGHT = {
    "argilla/ifeval-like-data": "<think>\nGreen, or blue.\n</think>\n\nGreen. That is all.",
    "rajpurkar/squad": "After nine.",
    "abisee/cnn_dailymail": "The new library opened on Monday, and children stayed until it closed.",
    "TIGER-Lab/WebInstruct-verified": "\\boxed{5}",
    "google/IFEval": "They flow.",
}


def sources() -> dict[str, Source]:
    stages = load_recipe("ring-lite-2507").stages.values()
    found = [source for stage in stages if isinstance(stage, CurateStage) for source in stage.sources]
    return {source.hub: source for source in found if source.hub in ROWS}


def problem(source: Source) -> Problem:
    read, domain = choose(source.adapter, source.columns, "here", source.verifier or "")
    fields = read(ROWS[str(source.hub)])
    given = {"domain": source.domain or domain, "verifier": source.verifier or "", **fields}
    return Problem(id="p", **given)


@pytest.mark.parametrize("hub", ROWS)
def test_a_row_of_the_set_is_a_problem_that_curation_keeps(hub: str) -> None:
    made = problem(sources()[hub])
    if made.trace is None:
        assert problem_reason(made) is None
    else:
        assert (made.domain, problem_reason(made), trace_reason(made)) == ("general", None, None)


def test_a_right_response_is_right_and_another_is_not() -> None:
    found = sources()
    with Verifiers(VerifierSettings(workers=1)) as verify:
        for hub, response in RIGHT.items():
            right, wrong = verify([(problem(found[hub]), response), (problem(found[hub]), "Ducks, geese, swans")])
            assert (right.verdict, wrong.verdict == "correct") == ("correct", False), hub


def test_subjects_of_a_public_set_are_parts_of_a_mix() -> None:
    recipe = load_recipe("ring-lite-2507")
    stage = recipe.stages["curate"]
    assert isinstance(stage, CurateStage)
    assert sum(stage.sets["mixed"].rows.values()) == 32_000 + 9_900 + 19_000  # as announced
    assert problem(sources()["TIGER-Lab/WebInstruct-verified"]).labels["category"] == "Physics"
