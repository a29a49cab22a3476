"""All runs of a project on a run's page: what is drawn, what is listed, and what is not compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from make_run import make_run

from ringlite_cli.report.build import write_report
from ringlite_cli.report.figures import Sheet
from ringlite_cli.report.sections.project import MOST, efficiency_figures, efficiency_table


def row(name: str, rl: int, score: float | None, *, tasks: str = "math", **more: Any) -> dict[str, Any]:
    start = None if score is None else score - 0.1
    facts = {"sft_tokens": 1000, "rl_tokens": rl, "efficiency": rl / 1000, "picked": "checkpoint-9", "policy": "rl"}
    scores = {"tasks": [tasks], "start": start, "final": score, "gain": None if score is None else 0.1}
    return {"run": name, **facts, "epoch": 2.0, "entropy": 0.3, **scores, **more}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "mine")


def page_beside(run: Path, rows: Any) -> str:
    (run.parent / "token_efficiency.json").write_text(json.dumps(rows))
    return write_report(run).read_text(encoding="utf-8")


def test_runs_of_the_folder_stand_beside_this_one(run: Path) -> None:
    rows = [row("first", 500, 0.4, epoch=1.0), row("mine", 1500, 0.6), row("third", 3000, 0.55)]
    page = page_beside(run, rows)
    assert "All runs of this folder" in page
    assert page.count(">this run</text>") == 2  # over efficiency and epochs; entropy is the same in all, so not drawn
    assert "Score over entropy of the start" not in page
    assert "after RL: 40.0 at 0.500, 60.0 at 1.50, 55.0 at 3.00." in page  # read out in place of the drawing
    assert "checkpoint-9" in page


def test_runs_with_other_tasks_or_none_are_listed_and_not_drawn(run: Path) -> None:
    page = page_beside(run, [row("mine", 1500, 0.6), row("other", 10, 0.9, tasks="code"), row("bare", 20, None)])
    assert "scored on the same tasks as this one" in page
    assert "Score over token efficiency" not in page
    assert ">other</th>" in page
    assert ">bare</th>" in page


@pytest.mark.parametrize("rows", [[row("mine", 1500, 0.6)], [], {"mine": 1}, [row("a", 1, 0.2), row("b", 2, 0.3)]])
def test_a_run_alone_has_no_such_part(run: Path, rows: Any) -> None:
    assert "All runs of this folder" not in page_beside(run, rows)


def test_names_of_runs_are_escaped(run: Path) -> None:
    page = page_beside(run, [row("mine", 1500, 0.6), row("<img src=x>", 10, 0.9)])
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_many_runs_are_drawn_and_the_table_is_cut_and_says_so() -> None:
    rows = [row(f"r{k}", 100 + k, 0.5) for k in range(MOST + 50)]
    (panels,) = efficiency_figures(Sheet(), [("after RL", "p-rl0", rows, "final")])
    assert panels.items[0].svg.count("<circle") == MOST + 50
    assert "curve" not in panels.items[0].svg  # runs are no sequence: no line joins them
    table = efficiency_table(rows)
    assert len(table.rows) == MOST
    assert "The first 200 of 250 runs" in table.note
