"""The driver in brief: two kills in a toy run. The full one is `python tests/chaos/driver.py toy OUT`."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from driver import chaos, differences, left_by


@pytest.mark.slow
def test_a_run_that_is_killed_twice_leaves_what_an_undisturbed_one_leaves(tmp_path: Path) -> None:
    outcome, unlike = chaos("toy", tmp_path / "chaos", ["--to", "sft"], kills=2, seed=3)
    assert len(outcome.kills) == 2, outcome.summary()
    assert unlike == [], outcome.summary()


def test_the_comparison_sees_what_a_run_decides_and_not_how_long_it_took(tmp_path: Path) -> None:
    for name, reward, seconds in (("a", 0.5, 1.0), ("b", 0.5, 2.0), ("c", 0.6, 1.0)):
        (tmp_path / name / "rl").mkdir(parents=True)
        row = {"step": 1, "reward": reward, "step_seconds": seconds}
        (tmp_path / name / "rl" / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        (tmp_path / name / "rl" / "pulse.json").write_text(str(seconds))
    one, slower, other = (left_by(tmp_path / name) for name in "abc")
    assert differences(one, slower) == []
    assert differences(one, other) == ["rl/metrics.jsonl"]
