"""Means over steps of rollouts that serve several: a share of time or a speed is that of the whole time."""

import json
from pathlib import Path

import pytest

from ringlite_cli.evals.compare_costs import training
from ringlite_cli.report.load import load_stage
from ringlite_cli.report.sections.rl import _table
from ringlite_cli.runs.catalogue import metric
from ringlite_cli.runs.catalogue.tenths import mean_of, tenths
from ringlite_cli.stages.commands.status import _last

UPDATES = 4


def rows(steps: int) -> list[dict[str, float]]:
    """Each rollout takes 90 s, and each of its four updates 10 s and 100 tokens: 400 tokens in 130 s."""
    found = []
    for step in range(1, steps + 1):
        rollout = 90.0 if step % UPDATES == 1 else 0.0
        seconds = rollout + 10.0
        row = {"step": step, "reward": 0.1 * step, "rollout_seconds": rollout, "step_seconds": seconds}
        row |= {"update_seconds": 10.0, "generation_share": rollout / seconds, "update_share": 10.0 / seconds}
        found.append(row | {"tokens_per_second_per_gpu": 100 / seconds})
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "rl").mkdir()
    (tmp_path / "rl" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(20)))
    (tmp_path / "rl" / "manifest.json").write_text(json.dumps({"stage": "rl", "kind": "rl", "status": "done"}))
    return tmp_path


EXPECTED = {"tokens trained": 400 / 130, "generation, share": 90 / 130, "update, share": 40 / 130}


def test_a_tenth_of_the_steps_ends_with_a_rollout() -> None:
    first, last = tenths(rows(20))
    assert [row["step"] for row in first] == [1, 2, 3, 4]
    assert [row["step"] for row in last] == [17, 18, 19, 20]
    assert tenths([]) == ([], [])
    assert mean_of(metric("rl", "tokens_per_second_per_gpu"), first) == pytest.approx(400 / 130)
    assert mean_of(metric("rl", "reward"), last) == pytest.approx(1.85)


def test_compare_means_the_whole_time(run: Path) -> None:
    found = {row["metric"]: row["a"] for row in training((run, {"rl": {"kind": "rl"}}), (run, {"rl": {"kind": "rl"}}))}
    assert {name: found[name] for name in EXPECTED} == pytest.approx(EXPECTED)


def test_status_tells_the_last_rollout_s_time_and_the_last_step_s_reward(run: Path) -> None:
    found = {each["name"]: each["value"] for each in _last(run / "rl", "rl")["metrics"].values()}
    assert {name: found[name] for name in EXPECTED} == pytest.approx(EXPECTED)
    assert found["reward"] == pytest.approx(2.0)


def test_the_report_s_table_means_the_whole_time(run: Path) -> None:
    table = _table(load_stage(run / "rl"))
    (cells,) = [row for row in table.rows if row[0].text == "tokens trained"]
    assert [cell.sort for cell in cells[2:4]] == pytest.approx([400 / 130] * 2)
