"""The catalogue of metrics: every reader takes from it, and what real runs write stands in it."""

from pathlib import Path

import pytest

from ringlite_cli.report.sections.common import points
from ringlite_cli.runs.catalogue import OF_STAGE, PANELS, keys, metric, value_of
from ringlite_cli.runs.catalogue.columns import HOW
from ringlite_cli.runs.catalogue.page import page
from ringlite_cli.runs.files import read_jsonl

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", OF_STAGE)
def test_every_metric_stands_once_and_says_what_it_is(kind: str) -> None:
    names = keys(kind)
    assert len(names) == len(set(names)) > 5
    assert all(m.name and m.meaning.endswith(".") and m.reduced in HOW for m in OF_STAGE[kind])


@pytest.mark.parametrize("kind", PANELS)
def test_what_is_drawn_is_logged(kind: str) -> None:
    drawn = {curve.key for panel in PANELS[kind] for curve in panel.curves}
    assert drawn <= set(keys(kind))


def test_the_report_draws_what_a_run_is_judged_by() -> None:
    drawn = {curve.key for panel in PANELS["rl"] for curve in panel.curves}
    assert drawn >= {"router_load_max", "router_max_violation", "router_entropy", "router_z"}
    assert drawn >= {"lr", "loss", "budget_fill", "rollout_tokens_per_second"}


@pytest.mark.parametrize(
    ("kind", "file"), [("sft", "sft-metrics.jsonl"), ("rl", "rl-math-metrics.jsonl"), ("rl", "rl-mixed-metrics.jsonl")]
)
def test_the_recorded_run_has_no_column_that_the_catalogue_lacks(kind: str, file: str) -> None:
    rows = read_jsonl(ROOT / "docs" / "experiments" / "smollm2-h100" / file)
    assert rows
    assert {key for row in rows for key in row} <= set(keys(kind)) | {m.was for m in OF_STAGE[kind]}


def test_a_row_of_an_earlier_version_is_read_by_todays_keys() -> None:
    (old,) = (m for m in OF_STAGE["rl"] if m.was)
    rows = read_jsonl(ROOT / "docs" / "experiments" / "smollm2-h100" / "rl-math-metrics.jsonl")
    assert [value_of(row, old.key) for row in rows] == [row[old.was] for row in rows]
    assert len(points(rows, old.key)) == len(rows)


def test_the_page_of_the_docs_is_the_catalogues() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == page()


def test_a_metric_per_layer_is_read_by_its_extreme() -> None:
    row = {"step": 3, "router_load_max": [1.2, 1.9, 1.1], "router_load_min": [0.4, 0.1], "loss": None, "reward": True}
    assert value_of(row, "router_load_max") == 1.9
    assert value_of(row, "router_load_min") == 0.1
    assert value_of(row, "loss") is value_of(row, "reward") is value_of(row, "absent") is None
    assert points([row], "router_load_max") == [(3.0, 1.9)]


def test_a_status_shows_speed_and_every_phase_of_a_step() -> None:
    shown = keys("rl", status=True)
    assert {"mfu", "tokens_per_second_per_gpu"} <= set(shown)
    phases = ("generation", "sync", "reward", "reference", "update", "idle")
    assert [name for name in shown if name.removesuffix("_share") in phases and name.endswith("_share")] == [
        f"{phase}_share" for phase in phases
    ]


def test_an_unknown_metric_is_no_metric() -> None:
    with pytest.raises(KeyError):
        metric("rl", "rewrad")
