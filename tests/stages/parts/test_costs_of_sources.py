"""What a stage takes is asked also of stages that read a file or the hub, whose size no recipe tells."""

import json
from pathlib import Path

import pytest
from small_walks import SELECT, small_recipe

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.stages.kinds.rl import rolled_back
from ringlite_cli.stages.parts.costs import expected_time, read_by, tokens_of

RM = "rm: {kind: reward-model, data: {path: pairs.jsonl}}"


@pytest.mark.parametrize(("name", "last"), [("sft", SELECT), ("rm", RM)])
def test_a_source_of_unknown_size_is_no_traceback(tmp_path: Path, name: str, last: str) -> None:
    text = small_recipe(last).replace("data: curate.traces", "data: {path: traces.jsonl}")
    (tmp_path / "recipe.yaml").write_text(text)
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    assert read_by(recipe, name) is None
    assert tokens_of(recipe, name, None) is None
    assert expected_time(recipe, name, None, tmp_path) is None


def test_the_rate_of_a_stage_counts_the_steps_that_the_guard_took_back(tmp_path: Path) -> None:
    """Half of the 100 s went into steps that were rolled back: the rate is 20 tokens/s, not 10."""
    rows = [{"attempt": 0, "step": step, "tokens_trained": 500} for step in (4, 5)]
    folder = tmp_path / "other" / "rl-math"
    folder.mkdir(parents=True)
    (folder / "rolled_back.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lost = rolled_back(folder)
    assert lost == {"steps_rolled_back": 2, "tokens_rolled_back": 1000}
    assert rolled_back(tmp_path) == {}
    recipe = load_recipe("toy")
    section = {"model": recipe.model.model_dump(mode="json")}
    numbers = {"seconds": 100.0, "tokens": {"trained": 1000}, "metrics": lost}
    Manifest("rl-math", "rl", "done", "f", 1, section, [], **numbers).write(folder)
    found = expected_time(recipe, "rl-math", 2000, tmp_path)
    assert found is not None
    assert found.seconds == 100.0


def test_a_stage_that_ran_with_other_keys_tells_its_rate_and_not_its_time(tmp_path: Path) -> None:
    """A thousand times the steps were told to take as long as the last run did."""
    recipe = load_recipe("toy")
    section = recipe.stages["rl-math"].model_dump(mode="json") | {"model": recipe.model.model_dump(mode="json")}
    numbers = {"seconds": 10.0, "tokens": {"trained": 1000}}
    Manifest("rl-math", "rl", "done", "f", 1, section, [], **numbers).write(tmp_path / "toy" / "rl-math")
    same = expected_time(recipe, "rl-math", 1536, tmp_path)
    assert same is not None
    assert (same.seconds, same.at_most) == (10.0, False)
    tracked = expected_time(load_recipe("toy", ["stages.rl-math.trl.report_to=tensorboard"]), "rl-math", 1536, tmp_path)
    assert tracked is not None
    assert (tracked.seconds, tracked.at_most) == (10.0, False), "who is told of steps is no other work"
    longer = expected_time(load_recipe("toy", ["stages.rl-math.trl.max_steps=3000"]), "rl-math", 1_536_000, tmp_path)
    assert longer is not None
    assert (longer.seconds, longer.at_most) == (15360.0, True)
