"""Rows of logic games in curation: what their rules, their comparison and their verification make of boards."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.data.curate import CurateResult, curate
from ringlite_cli.data.games import drawing
from ringlite_cli.data.games.making import installed_version, is_installed
from ringlite_cli.problems import Problem, Verdict, read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.rewards.gym import last_answer
from ringlite_cli.runs.files import read_jsonl

needs_gym = pytest.mark.skipif(not is_installed(), reason="reasoning-gym is not installed")


def by_answer(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    """Stands for the scorers in the jail: the row's own answer is right."""
    rights = [last_answer(response) == json.loads(problem.answer or "")["answer"] for problem, response in pairs]
    return [Verdict("correct" if right else "wrong", float(right)) for right in rights]


def board(number: int, signs: str, trace: str | None = None, answer: str | None = "4") -> dict[str, Any]:
    entry = {"answer": answer, "metadata": {"source_dataset": "maze", "source_index": number, "grid": ["x" * 400]}}
    prompt = f"What is the smallest number of steps from S to G?\n{signs}"
    row = {"domain": "logic", "verifier": "logic-gym", "prompt": prompt, "answer": json.dumps(entry)}
    return row | ({"trace": trace} if trace else {})


def curated(folder: Path, rows: list[dict[str, Any]]) -> tuple[list[Problem], dict[str, str]]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = curate([Source(path=str(file))], {"all": ProblemSet()}, by_answer, folder / "out", seed=1, generators={})
    dropped = {str(row["index"]): row["reason"] for row in read_jsonl(folder / "out" / "dropped.jsonl")}
    return read_problems(made.sets["all"]), dropped


BOARDS = ["#S.\n.G#\n##.", "#S.\n#G.\n##.", "#S#\n.G#\n#..", ".S#\n.G.\n###"]


def test_boards_that_differ_in_their_signs_alone_all_stay(tmp_path: Path) -> None:
    problems, dropped = curated(tmp_path, [board(i, signs, answer=str(i)) for i, signs in enumerate(BOARDS)])
    assert dropped == {}
    assert len(problems) == len(BOARDS)


@pytest.mark.parametrize("answer", ["4", None], ids=["one answer", "any of several"])
def test_one_problem_in_two_rows_is_a_copy_and_no_conflict(tmp_path: Path, answer: str | None) -> None:
    twice = [board(number, BOARDS[0], answer=answer) for number in (1, 2)]
    problems, dropped = curated(tmp_path, [*twice, board(3, BOARDS[1], answer="5")])
    assert list(dropped.values()) == ["duplicate_exact"]
    assert len(problems) == 2


def test_traces_of_games_are_verified(tmp_path: Path) -> None:
    rows = [
        board(0, BOARDS[0], "<think>\none\n</think>\n<answer>4</answer>"),
        board(1, BOARDS[1], "<think>\none\n</think>\n<answer>5</answer>"),
        board(2, BOARDS[2]),
    ]
    problems, dropped = curated(tmp_path, rows)
    assert dropped == {"1": "answer_disagrees"}
    assert [p.labels["verified_by"] for p in problems] == ["trace", "route"]
    assert (problems[0].trace or "").endswith("<answer>4</answer>"), "adapters take such tags off other traces"


def made_of_games(folder: Path) -> CurateResult:
    games: dict[str, dict[str, Any] | None] = {"number_sorting": {"max_numbers": 4}, "maze": None}
    sources = [
        Source(gym=games, rows=30, options={"careful": 0.5, "prompt": "short"}),
        Source(gym=games, rows=10, split="eval"),
        Source(gym={"maze": {}}, rows=5, seed=3, split="select"),
    ]
    sets = {split: ProblemSet(split=split) for split in ("train", "select", "eval")}
    return curate(sources, sets, by_answer, folder, seed=17, generators={})


@needs_gym
def test_sources_of_games_give_all_their_rows_and_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "HELD_ROWS", 4)
    first, again = made_of_games(tmp_path / "a"), made_of_games(tmp_path / "b")
    assert first.funnel["dropped"] == {}
    assert first.warnings == []
    for name, rows in (("train", 30), ("select", 5), ("eval", 10)):
        problems = read_problems(first.sets[name])
        assert problems == read_problems(again.sets[name])
        assert len(problems) == rows
        assert {p.source.rpartition("/")[2] for p in problems} == {"reasoning-gym"}
        assert all(p.domain == "logic" and p.verifier == "logic-gym" and p.trace for p in problems)
    told = first.funnel["reasoning_gym"]
    assert told["version"] == installed_version()
    assert told["sources"]["reasoning-gym"]["maze"]["rows"] == 15
    card = (tmp_path / "a" / "CARD.md").read_text()
    assert f"Made by reasoning-gym {installed_version()};" in card
    assert "| eval/reasoning-gym | number_sorting | 5 |" in card
