"""Games that cannot be made are said before anything moves, with exit code 2."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ringlite

from ringlite_cli.console import Console
from ringlite_cli.data.games.making import is_installed
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.walk.preflight import findings

needs_gym = pytest.mark.skipif(not is_installed(), reason="reasoning-gym is not installed")


def recipe_of(folder: Path, **source: Any) -> Path:
    file = folder / "games.yaml"
    head = {"name": "games", "model": {"path": "m"}}
    curate = {"kind": "curate", "sources": [source], "sets": {"all": {}}}
    file.write_text(yaml.safe_dump({**head, "stages": {"curate": curate}}))
    return file


def check(folder: Path, **source: Any) -> str:
    """What `check` says; nothing but exit code 2 counts as an answer."""
    said = ringlite("check", str(recipe_of(folder, **source)), cwd=folder)
    assert said.returncode == 2, said.stdout + said.stderr
    return said.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"gym": {"maze": {}}}, "a gym needs rows, the number of problems to make"),
        ({"gym": {"maze": {}}, "rows": 0}, "rows: input should be greater than 0, not 0"),
        ({"gym": {}, "rows": 5}, "gym names no game"),
        ({"gym": {"maze": {}, "arc_1d": {}}, "rows": 1}, "1 rows are too few for 2 games"),
        ({"gym": {"maze": {}}, "rows": 5, "generator": "puzzles"}, "give exactly one of generator, gym, path or hub"),
        ({"gym": {"maze": {}}, "rows": 5, "verifier": "math"}, "take verifier out"),
        ({"gym": {"maze": {}}, "rows": 5, "split": {"train": 0.5, "eval": 0.5}}, "a gym makes each split apart"),
        ({"generator": "puzzles", "rows": 5, "seed": 3}, "seed is of a gym source"),
    ],
)
def test_sources_that_cannot_be(tmp_path: Path, source: dict[str, Any], words: str) -> None:
    assert words in check(tmp_path, **source)


@needs_gym
def test_every_fault_of_the_games_comes_in_one_message(tmp_path: Path) -> None:
    said = check(
        tmp_path,
        rows=50,
        options={"prompt": "short", "carefull": 1},
        gym={
            "countdwn": {},
            "composite": {},
            "countdown": {"min_nmbers": 3, "max_numbers": "four", "size": 0, "shuffle": 1},
            "maze": {"min_dist": 9, "max_dist": 3},
            "arc_1d": {"num_train": 2.5},
            "word_sorting": {"transformation": "upper"},
        },
    )
    for words in (
        "options: 'carefull' is not an option; did you mean 'careful'?",
        "gym.countdwn: reasoning-gym 0.1", "has no such game; did you mean 'countdown'?",
        "gym.composite: it is a mixture of reasoning-gym's games; name these",
        "gym.countdown.min_nmbers: the game has no such field; did you mean 'min_numbers'?",
        "gym.countdown.max_numbers: 'four' is not a whole number",
        "gym.countdown.size: it is no part of the difficulty; give the source's `rows`",
        "gym.countdown.shuffle: 1 is not true or false",
        "gym.maze: reasoning-gym refuses the difficulty (max_dist must be >= min_dist)",
        "gym.arc_1d.num_train: 2.5 is not a whole number",
        "gym.word_sorting.transformation: it takes an object of Python",
    ):  # fmt: skip
        assert words in said


@needs_gym
def test_a_short_prompt_is_there_for_some_games_alone(tmp_path: Path) -> None:
    said = check(tmp_path, gym={"spell_backward": {}}, rows=3, options={"prompt": "short"})
    assert "options.prompt: spell_backward has no short form; games that have are countdown, " in said


def test_reasoning_gym_that_is_missing_is_said_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: None if name == "reasoning_gym" else there(name, *a)
    )
    file = recipe_of(tmp_path, gym={"maze": {}}, rows=3)
    said = ringlite("run", str(file), "--runs-dir", str(tmp_path / "runs"), cwd=tmp_path)
    assert said.returncode == 2
    assert (
        "stages.curate.sources.0.gym: problems of verifier 'logic-gym' need reasoning-gym; pip install" in said.stderr
    )
    assert said.stderr.count("need reasoning-gym") == 1
    assert not list((tmp_path / "runs").glob("*/curate"))


@needs_gym
def test_a_space_that_is_too_small_is_said_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringlite_cli.data.games.drawing.HELD_ROWS", 4)  # making them takes seconds
    monkeypatch.setattr("ringlite_cli.stages.preflight.games._SECONDS", 120.0)  # for a machine that is busy
    tiny = {"min_numbers": 2, "max_numbers": 2, "max_value": 2, "min_target": 2, "max_target": 4, "operators": ["+"]}
    recipe = load_checked(str(recipe_of(tmp_path, gym={"countdown": tiny}, rows=100)))
    (found,) = [str(each) for each in findings(recipe, Path("nowhere"), ("curate",), Console())]
    assert found.startswith("stages.curate.sources.0.gym.countdown: countdown has ")
    assert "and 100 are asked for" in found


@needs_gym
def test_another_version_makes_a_stage_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ringlite_cli.stages.base import Context
    from ringlite_cli.stages.kinds.curate import STAGE
    from ringlite_cli.stages.walk.making import new_manifest

    context = Context(
        load_checked(str(recipe_of(tmp_path, gym={"maze": {}}, rows=3))), "curate", tmp_path / "runs", Console()
    )
    manifest, now = new_manifest(context, STAGE, {}, None)
    assert manifest.versions["packages"]["reasoning-gym"] == importlib.metadata.version("reasoning-gym")
    other = tmp_path / "METADATA"
    other.write_text("Name: reasoning-gym\nVersion: 9.9\n")
    monkeypatch.setattr("ringlite_cli.data.games.making.version_file", lambda: other)
    _, later = new_manifest(context, STAGE, {}, None)
    assert now.changes_to(later).inputs == ("source/reasoning-gym",)
    assert now.fingerprint != later.fingerprint


def test_a_fault_is_a_recipe_s(tmp_path: Path) -> None:
    with pytest.raises(RecipeErrors):
        load_checked(str(recipe_of(tmp_path, gym={"maze": {}}, rows=3, options={"prompt": json.dumps({})})))
