"""Reading a run: order, kinds, redone steps, torn lines, times."""

from datetime import UTC, datetime

import pytest
from make_run import edit, make_run, manifest, put, put_rows

from ringlite_cli.report.files import load_rows, number
from ringlite_cli.report.load import load_run, load_stage, moment


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "demo", rl_steps=4, sft_steps=6)


def test_stages_stand_in_pipeline_order(run):
    assert [s.name for s in load_run(run).stages] == ["curate", "sft", "select", "rl-math", "rl-mixed", "eval"]


def test_parents_decide_the_order_over_kind_and_time(run):
    """A later SFT on an RL policy comes after it."""
    manifest(run, "general", "sft", ["rl-mixed"], 1, 3.0)
    assert [s.name for s in load_run(run).stages][-3:] == ["rl-mixed", "general", "eval"]


def test_parents_in_a_circle_do_not_hang(run):
    edit(run / "curate" / "manifest.json", lambda m: m.update(parent=["eval"]))
    assert len(load_run(run).stages) == 6


def test_kind_is_known_without_a_manifest(run):
    for stage, kind in (("rl-math", "rl"), ("eval", "eval")):
        (run / stage / "manifest.json").unlink()
        assert load_stage(run / stage).kind == kind
    put_rows(run / "second", "metrics.jsonl", [])
    put(run / "second", "candidates.json", [])
    assert load_stage(run / "second").kind == "select"
    assert load_stage(run / "second").status == "unknown"


def test_redone_steps_count_once_and_the_later_row_wins(run):
    rows = [{"step": 1, "reward": 0.1}, {"step": 2, "reward": 0.2}, {"step": 2, "reward": 0.9}, {"step": 3}]
    put_rows(run / "rl-math", "metrics.jsonl", rows)
    stage = load_stage(run / "rl-math")
    assert [row["step"] for row in stage.metrics] == [1, 2, 3]
    assert stage.metrics[1]["reward"] == 0.9
    assert stage.redone == 1


def test_time_at_work_is_preferred_to_time_on_the_clock(run):
    edit(run / "sft" / "manifest.json", lambda m: m.update(seconds=7.5))
    assert load_stage(run / "sft").seconds == 7.5
    edit(run / "sft" / "manifest.json", lambda m: m.update(seconds=0))
    assert load_stage(run / "sft").seconds == 120


def test_earlier_results_set_aside_are_no_stages(run):
    (run / "sft").rename(run / ".sft")
    assert "sft" not in [s.name for s in load_run(run).stages]


def test_torn_and_foreign_lines_are_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n[1]\n{"a": 2}\n{"a": ')
    found = load_rows(path)
    assert [row["a"] for row in found.rows] == [1, 2]
    assert found.bad == 2


def test_long_files_are_read_at_both_ends(tmp_path):
    put_rows(tmp_path, "rows.jsonl", [{"a": k} for k in range(1000)])
    found = load_rows(tmp_path / "rows.jsonl", end_bytes=95)
    values = [row["a"] for row in found.rows]
    assert found.cut
    assert found.bad == 0
    assert values[0] == 0
    assert values[-1] == 999
    assert 10 < len(values) < 30


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), 10**400, 1e200, [1]])
def test_what_is_no_usable_number(value):
    assert number(value) is None


def test_moments():
    assert moment("2025-10-09T08:00:00+00:00") == datetime(2025, 10, 9, 8, tzinfo=UTC)
    assert moment("2025-10-09T08:00:00") == datetime(2025, 10, 9, 8, tzinfo=UTC)
    assert moment("yesterday") is None
    assert moment(1_759_996_800) is None
