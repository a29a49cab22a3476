"""An RL stage looks at its problems before it loads a policy or starts a rank."""

from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, write_problems
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.manifest import Manifest, describe
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.kinds.rl import STAGE

RECIPE = """\
name: compiled
model: {path: some/model}
stages:
  curate:
    kind: curate
    sources: [{generator: arithmetic, rows: 10}]
    sets: {mixed: {}}
  sft: {kind: sft, data: curate.mixed}
  rl: {kind: rl, policy: sft, data: curate.mixed, trl: {max_steps: 1}}
"""


def context(folder: Path, *overrides: str) -> Context:
    """A run whose curation left one problem with C++ test code."""
    (folder / "r.yaml").write_text(RECIPE)
    tests = {"mode": "unit", "language": "cpp", "code": "assert(f(1) == 2);"}
    data = folder / "curate" / "mixed.parquet"
    data.parent.mkdir()
    write_problems(data, [Problem("m", "math", "1 + 1?", "2"), Problem("c", "code", "Write f.", tests=tests)])
    outputs = {"mixed": describe(data, folder)}
    Manifest("curate", "curate", "done", "", 0, {}, [], outputs=outputs).write(data.parent)
    return Context(load_recipe(str(folder / "r.yaml"), overrides), "rl", folder, Console())


@pytest.mark.parametrize("override", ["rewards.trust_compiled_tests=false", "rewards.trust_compiled_tests=true"])
def test_problems_with_compiled_test_code_end_it_at_its_start(tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match=r"1 problems, as 'c', have C\+\+ or Java tests of mode unit.*cases of mode"):
        STAGE.run(context(tmp_path, override))
    assert not (tmp_path / "rl").exists()
