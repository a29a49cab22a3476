"""The matrix on top of a run's page: every policy and task, and colours only where intervals do not touch."""

from pathlib import Path

import pytest
from make_run import make_run, manifest, put

from ringlite_cli.report import write_report
from ringlite_cli.report.headline import headline
from ringlite_cli.report.load import load_run
from ringlite_cli.report.palette import Palette


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "demo", rl_steps=2, sft_steps=6)


def score(value: float, reach: float = 0.05, n: int = 100) -> dict[str, object]:
    return {"avg@k": value, "ci95": [value - reach, value + reach], "n": n, "k": 4}


def matrix(run: Path):
    loaded = load_run(run)
    return headline(loaded, Palette(loaded)).matrix


def test_a_square_has_score_interval_and_change(run: Path) -> None:
    put(
        run / "eval",
        "scores.json",
        {
            "base": {"math": score(0.2), "code": score(0.5)},
            "select": {"math": score(0.4), "code": score(0.52)},
            "rl-math": {"math": score(0.1)},
        },
    )
    found = matrix(run)
    assert [name for name, _ in found.tasks] == ["math", "code", "mean"]
    assert [name for name, _ in found.policies] == ["base", "select", "rl-math"]
    shown = [[square and (square.score, square.change, square.tone) for square in row] for row in found.rows]
    nbsp = "\u00a0"
    assert shown[0] == [(f"20.0{nbsp}%", "", ""), (f"50.0{nbsp}%", "", ""), (f"35.0{nbsp}%", "", "")]
    assert shown[1] == [(f"40.0{nbsp}%", "+20.0", "good"), (f"52.0{nbsp}%", "+2.0", ""), (f"46.0{nbsp}%", "+11.0", "")]
    assert shown[2] == [(f"10.0{nbsp}%", "−30.0", "bad"), None, None]
    assert found.rows[1][0].interval == "35.0 – 45.0"
    assert found.note.startswith("avg@4 in percent, 95 % intervals, 100 problems a task.")


def test_tasks_of_two_evaluations_stand_apart(run: Path) -> None:
    manifest(run, "late", "eval", ["rl-math"], 20, 4.0)
    put(run / "late", "scores.json", {"rl-math": {"math": score(0.7, n=30)}})
    found = matrix(run)
    names = [name for name, _ in found.tasks]
    assert "eval: math" in names
    assert "late: math" in names
    row = dict(zip(names, found.rows[[name for name, _ in found.policies].index("rl-math")], strict=True))
    assert (row["eval: math"].score, row["late: math"].score) == ("63.4\u00a0%", "70.0\u00a0%")
    assert row["late: math"].change == ""
    assert "30 to 200 problems a task" in found.note


def test_scores_of_other_numbers_of_responses_are_not_told_as_those_of_the_first(run: Path) -> None:
    put(run / "eval", "scores.json", {"base": {"math": score(0.2), "aime": score(0.5) | {"k": 32}}})
    words = "avg@k in percent, 95 % intervals, 100 problems a task, 4 to 32 responses a problem (k)."
    assert matrix(run).note.startswith(words)


def test_without_scores_the_page_says_so(run: Path) -> None:
    (run / "eval" / "scores.json").unlink()
    (run / "eval" / "manifest.json").unlink()
    assert matrix(run) is None
    assert "No scores on held-out problems yet." in write_report(run).read_text(encoding="utf-8")
