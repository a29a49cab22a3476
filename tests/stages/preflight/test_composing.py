"""Weights that no row of an RL stage's set meets are said before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.console import Console
from ringlite_cli.problems import Problem
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.preflight import composing, verifying

ROWS = [
    Problem("m1", "math", "1+1", answer="2"),
    Problem("m2", "math", "prove it", verifier="mine:tone"),
    Problem("g", "general", "write", verifier="mine:tone"),
]


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(weights: str, rows: list[Problem] | None = ROWS, *more: str) -> Context:
        monkeypatch.setattr(composing, "made_set", lambda context, reference: rows)
        monkeypatch.setattr(verifying, "made_set", lambda context, reference: rows)
        recipe = load_checked("toy", [f"rewards.weights={weights}", *more])
        return Context(recipe, "rl-math", Path("nowhere"), Console())

    return make


def said(context: Context) -> list[tuple[str, str, str, bool]]:
    return [(f.where, f.what, f.hint, f.fatal) for f in composing.weights_meet_the_rows(context)]


def test_weights_that_the_rows_meet_are_silent(context: Any) -> None:
    assert said(context("{math: {math: 1, science: 0.5}}")) == []
    assert said(context("{}")) == []


def test_a_domain_that_no_row_has_is_a_warning(context: Any) -> None:
    assert said(context("{code: {code: 1}}")) == [
        ("rewards.weights.code", "no row of an RL stage has this domain", "their domains are general, math", False)
    ]
    unknown = "stages.curate.sets={traces: {}, math: {}, mixed: {}, select: {}, eval: {}}"
    assert said(context("{code: {code: 1}}", None, unknown)) == []  # the sets are not made, and name no domains
    named = "stages.curate.sets={traces: {}, math: {rows: {math: 9}}, mixed: {rows: {math: 9}}, select: {}, eval: {}}"
    assert [where for where, *_ in said(context("{code: {code: 1}}", None, named))] == ["rewards.weights.code"]


def test_a_verifier_that_scores_no_row_of_its_domain_is_a_warning(context: Any) -> None:
    assert said(context("{general: {instructions: 1}, math: {code: 1}}")) == [
        (
            "rewards.weights.general.instructions",
            "all 1 rows of general in curate.math lack an answer that it reads",
            "verifiers that can score them are mine:tone, judge, reward-model",
            False,
        ),
        (
            "rewards.weights.math.code",
            "all 2 rows of math in curate.math lack tests",
            "verifiers that can score them are math, mine:tone, judge, reward-model",
            False,
        ),
    ]


def test_rows_that_nothing_pays_for_are_refused(context: Any) -> None:
    *_, found = said(context("{math: {math: 0, code: 1}}", [ROWS[0]]))
    assert found == (
        "rewards.weights.math",
        "1 problems, as 'm1', have no verifier of a weight above 0",
        "give math, their own verifier, a weight, or leave them out of the set",
        True,
    )


def test_what_a_weighted_verifier_needs_is_asked_for_too(context: Any, tmp_path: Path) -> None:
    made = context("{math: {reward-model: 1}}", ROWS, f"rewards.reward_model={tmp_path / 'none'}")
    found: list[Finding] = list(verifying.set_can_be_verified(made))
    assert [each.where for each in found] == ["rewards.reward_model"]
    assert "no folder" in str(found[0])


def test_a_set_of_which_nothing_is_held_out_is_found_before_anything_runs(context: Any) -> None:
    made = context("{}", ROWS, "stages.rl-math.guard.held_out={data: curate.eval, every: 4}")
    (found,) = verifying.held_out_can_be_scored(made)
    assert (found.where, found.fatal) == ("stages.rl-math.guard.held_out.data", True)
    assert found.what == "nothing is held out: of the set's 3 problems 3 are trained on"
    assert list(verifying.held_out_can_be_scored(context("{}"))) == []


def test_games_that_the_installed_version_lacks_are_refused_before_rl(context: Any) -> None:
    """A set of another version's games: each response would be without a verdict."""
    pytest.importorskip("reasoning_gym")

    def row(game: str) -> Problem:
        answer = json.dumps({"answer": "1", "metadata": {"source_dataset": game}})
        return Problem(game, "logic", "?", answer=answer, verifier="logic-gym")

    assert [f for f in verifying.set_can_be_verified(context("{}", [row("maze")])) if "game" in f.what] == []
    found = [
        f for f in verifying.set_can_be_verified(context("{}", [row("maze"), row("mazes_9d")])) if "game" in f.what
    ]
    assert len(found) == 1
    assert found[0].fatal
    assert "has no game mazes_9d" in found[0].what
    assert "1 of 2" in found[0].what
    assert "pip install -U reasoning-gym" in found[0].hint
