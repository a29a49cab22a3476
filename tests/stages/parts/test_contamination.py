"""Evaluated problems that stand in the training sets are flagged, item by item."""

from pathlib import Path

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.runs.files import MetricsWriter, read_json
from ringlite_cli.stages.parts.contamination import find_contaminated, write_flags

LEAKED = "A farmer has 12 cows, buys 7 more cows at the market, then sells 3 of them to a neighbour. How many are left?"
OTHER = "Find the area of a triangle whose sides measure five, six and seven units, and give it as a surd."


def made(name: str, prompt: str, answer: str, source: str = "set.json") -> Problem:
    return Problem(name, "math", prompt, answer, source=source)


def test_copies_are_flagged_with_what_they_repeat() -> None:
    tasks = {"farm": [made("f/0", LEAKED, "16"), made("f/1", OTHER, "6\\sqrt{6}")], "none": [made("n/0", OTHER, "1")]}
    training = {"curate.math": [made("t/5", LEAKED.replace("A farmer", "A  farmer"), "16")]}
    assert find_contaminated(tasks, training) == {
        "farm": {"f/0": {"set": "curate.math", "id": "t/5", "score": 1.0}},
        "none": {},
    }
    assert find_contaminated(tasks, {}) == {"farm": {}, "none": {}}


def test_generated_problems_that_differ_in_a_number_are_no_copies() -> None:
    one, two = made("a", "3 + 4 + 5 - 6 = ?", "6", "arithmetic"), made("b", "3 + 4 + 5 - 7 = ?", "5", "arithmetic")
    assert find_contaminated({"math": [one]}, {"curate.math": [two]}) == {"math": {}}
    assert list(find_contaminated({"math": [one]}, {"curate.math": [two, one]})["math"]) == ["a"]


def test_the_score_without_them_stands_beside_the_score(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path / "responses.jsonl") as writer:
        for name, rewards in (("f/0", [1.0, 1.0]), ("f/1", [0.0, 1.0]), ("f/2", [0.0, 0.0])):
            writer.extend({"policy": "rl", "task": "farm", "id": name, "reward": r} for r in rewards)
    scores = {"rl": {"farm": {"avg@k": 0.5}}}
    flags = {"farm": {"f/0": {"set": "curate.math", "id": "t/5", "score": 1.0}}}
    warning = write_flags(tmp_path, flags, scores)
    assert warning.startswith("1 of farm stand in the training sets")
    assert read_json(tmp_path / "contamination.json") == flags
    score = read_json(tmp_path / "scores.json")["rl"]["farm"]
    assert (score["avg@k"], score["contaminated"], score["avg@k_clean"]) == (0.5, 1, pytest.approx(0.25))
    assert write_flags(tmp_path, {"farm": {}}, scores) == ""
