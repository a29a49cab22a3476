"""What is left of a run: by the pace of the stage at work, and by what was measured before."""

from pathlib import Path

import pytest
from small_walks import RL, small_recipe

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.stages.walk.forecast import Forecast, Left

STAGES = ["curate", "sft", "rl"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "walk.yaml").write_text(small_recipe(RL))
    return load_recipe(str(tmp_path / "walk.yaml"))


def measured(run: Path, stage: str, recipe: Recipe, seconds: float, **tokens: int) -> None:
    (run / stage).mkdir(parents=True)
    model = recipe.model.model_dump(mode="json")
    manifest = Manifest(stage, recipe.stages[stage].kind, "done", "f", 1, {"model": model}, [])
    manifest.seconds, manifest.tokens, manifest.finished = seconds, tokens, "2026-01-01T00:00:00+00:00"
    manifest.write(run / stage)


def test_nothing_is_claimed_where_nothing_is_known(recipe: Recipe, tmp_path: Path) -> None:
    clock = Clock()
    forecast = Forecast(recipe, tmp_path / "walk", STAGES, clock)
    forecast.begin("curate")
    forecast.progress(None)
    assert forecast.left() == Left(None, unknown=("curate", "sft", "rl"))
    assert forecast.left().words() == "time left of the run: not known yet"


def test_the_pace_of_the_stage_at_work_tells_its_rest_and_unmeasured_ones_are_named(
    recipe: Recipe, tmp_path: Path
) -> None:
    clock = Clock()
    forecast = Forecast(recipe, tmp_path / "walk", STAGES, clock)
    forecast.begin("sft")
    for clock.now, share in ((10.0, 0.1), (20.0, 0.2), (30.0, 0.3)):
        forecast.progress(share)
    assert forecast.left().seconds == pytest.approx(70)
    clock.now = 40.0  # ten seconds later, without news
    assert forecast.left().seconds == pytest.approx(60)
    assert forecast.left().words() == "about 1 min 0 s left of the run, without rl (not measured yet)"


def test_later_stages_are_foreseen_by_the_rate_of_another_run(recipe: Recipe, tmp_path: Path) -> None:
    measured(tmp_path / "other", "rl", recipe, 10.0, trained=100)
    clock = Clock()
    forecast = Forecast(recipe, tmp_path / "walk", STAGES, clock)
    forecast.begin("sft")
    forecast.progress(0.5)
    clock.now = 5.0
    forecast.progress(1.0)
    left = forecast.left()
    assert left.seconds == pytest.approx(12 * 64 / 10)  # steps x token budget at 10 tokens a second
    assert left.words() == "at most 1 min 17 s left of the run"


def test_a_stage_that_was_run_before_tells_its_own_time_until_that_is_over(recipe: Recipe, tmp_path: Path) -> None:
    measured(tmp_path / "walk", "rl", recipe, 30.0)
    clock = Clock()
    forecast = Forecast(recipe, tmp_path / "walk", ["rl"], clock)
    forecast.begin("rl")
    clock.now = 10.0
    assert forecast.left() == Left(20.0)
    clock.now = 31.0
    assert forecast.left() == Left(None, unknown=("rl",))


def test_a_stage_that_ends_during_the_walk_tells_of_those_after_it(recipe: Recipe, tmp_path: Path) -> None:
    forecast = Forecast(recipe, tmp_path / "walk", STAGES, Clock())
    assert "rl" in forecast.left().unknown
    measured(tmp_path / "walk2", "rl", recipe, 10.0, trained=100)
    forecast.begin("sft")
    assert "rl" not in forecast.left().unknown
    measured(tmp_path / "walk3", "rl", recipe, 5.0, trained=100)  # a newer one
    forecast.begin("rl")
    assert forecast.left().at_most
    assert forecast.left().seconds in (pytest.approx(76.8), pytest.approx(38.4))


@pytest.mark.parametrize("left", [Left(None, unknown=("a",)), Left(3.5, True), Left(1.0, False, ("a", "b"))])
def test_what_is_left_goes_through_json(left: Left) -> None:
    assert Left.of_row(left.row()) == left


@pytest.mark.parametrize("row", [None, 5, {}, {"unknown": 3}])
def test_other_rows_say_nothing(row: object) -> None:
    assert Left.of_row(row) is None
