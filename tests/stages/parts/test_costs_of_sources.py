"""What a stage takes is asked also of stages that read a file or the hub, whose size no recipe tells."""

from pathlib import Path

import pytest
from small_walks import SELECT, small_recipe

from ringlite_cli.recipe.load import load_recipe
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
