"""Problems chosen and mixed by their labels."""

from collections import Counter
from typing import Any

import pytest

from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.data.sets import draw_sets
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import ProblemSet, RlStage, Source
from ringlite_cli.train.rl.prompts import DifficultySource, draw_prompts
from ringlite_cli.where import matches, part_of, told


def _problem(n: int = 0, domain: str = "math", **labels: Any) -> Problem:
    return Problem(f"p{n}", domain, f"What is {n} + 4?", "4", source="a.jsonl", labels=labels)


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ({}, True),
        ({"level": ["Level 5"]}, True),
        ({"level": "level 5"}, True),
        ({"level": ["Level 1", "Level 2"]}, False),
        ({"subject": ["Algebra", "Geometry"]}, True),
        ({"subject": ["12"]}, True),  # the class that curation found
        ({"source": ["a.jsonl"], "domain": ["math"]}, True),
        ({"source": ["b.jsonl"]}, False),
        ({"pass_rate": [0.1, 0.9]}, True),
        ({"pass_rate": [0.5, 0.9]}, False),
        ({"difficulty": [0.6, 0.8]}, True),  # 1 - pass_rate
        ({"grade": [7]}, True),
        ({"grade": ["7"]}, True),
        ({"grade": [6, 7]}, True),
        ({"tags": ["primes"]}, True),
        ({"tags": ["graphs"]}, False),
        ({"hard": [True]}, True),
        ({"nothing": ["x"]}, False),
        ({"level": ["Level 5"], "pass_rate": [0.5, 1]}, False),
    ],
)
def test_conditions(where: dict[str, Any], fits: bool) -> None:
    problem = _problem(
        level="Level 5",
        subject="Algebra",
        subject_class="12",
        pass_rate=0.25,
        grade=7,
        tags=["sums", "primes"],
        hard=True,
    )
    assert matches(problem, where) == fits
    assert matches(problem, ProblemSet(where=where).where) == fits


def test_a_problem_belongs_to_the_first_part_that_it_fits() -> None:
    problem = _problem(level=5, pass_rate=0.3)
    assert part_of(problem, ["code", "level=5", "math"]) == "level=5"
    assert part_of(problem, ["pass_rate=0.4..1", "pass_rate=0..0.3"]) == "pass_rate=0..0.3"
    assert part_of(problem, ["code", "level=4"]) is None


def _rows() -> list[CuratedRow]:
    return [CuratedRow(_problem(n, level=n % 4 + 1, pass_rate=n / 40), "train") for n in range(40)]


def test_sets_select_and_mix_by_labels() -> None:
    sets = {
        "hard": ProblemSet(where={"level": [3, 4]}),
        "mixed": ProblemSet(mix={"level=1": 0.25, "level=4": 0.75}, total=12),
        "some": ProblemSet(rows={"pass_rate=0..0.2": 5, "math": 3}),
    }
    drawn, warnings = draw_sets(_rows(), sets, 1)
    levels = {name: Counter(r.problem.labels["level"] for r in rows) for name, rows in drawn.items()}
    assert levels["hard"] == {3: 10, 4: 10}
    assert levels["mixed"] == {1: 3, 4: 9}
    assert Counter(r.problem.labels["pass_rate"] <= 0.2 for r in drawn["some"]) == {True: 5, False: 3}
    assert not warnings


def test_a_set_that_no_row_fits_names_the_labels_there() -> None:
    with pytest.raises(UserError, match=r"`where` fits none of them \(labels there: level \(1, 2, 3, ...\), pass_rate"):
        draw_sets(_rows(), {"all": ProblemSet(where={"lvel": [3]})}, 1)


def test_prompts_are_drawn_by_shares_of_labels() -> None:
    problems = [r.problem for r in _rows()]
    mix = {"level=1": 0.25, "level=4": 0.75}
    drawn = draw_prompts(problems, 8, 5, mix, seed=1)
    assert Counter(p.labels["level"] for p in drawn) == {1: 10, 4: 30}
    source = DifficultySource(problems, lambda p: {"level": p.labels["level"]}, mix, 1)
    assert Counter(row["level"] for _ in range(5) for row in source.draw(8)) == {1: 10, 4: 30}
    with pytest.raises(UserError, match=r"no problem of 'level=9' in the data.*labels there: level"):
        draw_prompts(problems, 8, 5, {"level=9": 1.0}, seed=1)


def test_keys_of_a_mix_are_checked() -> None:
    with pytest.raises(ValueError, match="'mathh' is not a domain"):
        RlStage(kind="rl", policy="a", data="b.c", domain_mix={"mathh": 1.0})
    assert RlStage(kind="rl", policy="a", data="b.c", domain_mix={"level=5": 1.0}).domain_mix == {"level=5": 1.0}


@pytest.mark.parametrize("mix", [{"level=1": 0.7, "level=2": 0.7}, {"math": 0.5}, {"math": 0.3, "code": 0.3}, {}])
def test_shares_that_do_not_come_to_one_are_refused(mix: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"the shares come to [\d.]+, not to 1 \("):
        ProblemSet(mix=mix)
    with pytest.raises(ValueError, match="the shares come to"):
        RlStage(kind="rl", policy="a", data="b.c", domain_mix=mix)
    with pytest.raises(ValueError, match="the shares come to"):
        Source(path="a.jsonl", split={"train": 0.5, "eval": 0.2})
    assert ProblemSet(mix={"math": 0.333, "code": 0.333, "science": 0.333}).mix


def test_numbers_of_a_table_of_text_are_numbers() -> None:
    problem = _problem(level="3", pass_rate="0.25")
    assert matches(problem, {"pass_rate": [0.2, 0.3], "level": [2, 4]})
    assert matches(problem, {"difficulty": [0.7, 0.8]})
    assert part_of(problem, ["level=4..5", "pass_rate=0.2..0.3"]) == "pass_rate=0.2..0.3"
    assert told(problem) == {"level": "3", "difficulty": "0.6..0.8", "source": "a.jsonl"}
    assert told(_problem(difficulty="1"))["difficulty"] == "1"  # a level, and no share
    assert not matches(_problem(level="Level 3"), {"level": [2, 4]})


def test_what_results_are_told_apart_by() -> None:
    """Subject before class, level, the fifth of the difficulty, and source; lists and empty labels are left out."""
    labels = {"subject": "Algebra", "subject_class": "12", "level": "Level 5", "pass_rate": 0.75, "tags": ["a"]}
    known = {"subject": "Algebra", "level": "Level 5", "difficulty": "0.2..0.4", "source": "a.jsonl"}
    assert told(_problem(**labels)) == known
    assert told(_problem(subject_class="12", level="")) == {"subject": "12", "source": "a.jsonl"}
    assert told(_problem(difficulty=3))["difficulty"] == "3"
    for rate, fifth in ((0.0, "0.8..1.0"), (1.0, "0.0..0.2"), (0.8, "0.2..0.4")):
        assert told(_problem(pass_rate=rate))["difficulty"] == fifth
        assert part_of(_problem(pass_rate=rate), [f"difficulty={fifth}"])
