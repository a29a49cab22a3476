"""The driver on the toy recipe: two kills in `make test`, fifty in `make test-full`."""

import json
import sys
from pathlib import Path

import pytest

from ringlite_cli.runs.catalogue import timed

sys.path.insert(0, str(Path(__file__).parent))

from driver import chaos, differences, left_by


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "seed", "until"),
    [
        pytest.param(2, 3, ["--to", "sft"], id="two kills up to sft"),
        pytest.param(50, 1, [], id="fifty kills, all stages", marks=[pytest.mark.full, pytest.mark.timeout(4 * 3600)]),
    ],
)
def test_a_run_that_is_killed_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path, kills: int, seed: int, until: list[str]
) -> None:
    outcome, unlike = chaos("toy", tmp_path / "chaos", until, kills, seed)
    assert len(outcome.kills) == kills, outcome.summary()
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


def test_whether_a_verdict_came_before_generation_ended_is_a_matter_of_time() -> None:
    """A resume with carried responses verifies them later."""
    assert "reward_overlap" in timed("rl")
