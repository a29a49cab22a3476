"""RINGLITE_DATA is read in one way: what a source or a task is read from is what its stage's fingerprint knows."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ringlite_cli.data.sources import local_path
from ringlite_cli.evals.tasks import load_task
from ringlite_cli.recipe.schema import Source
from ringlite_cli.stages.kinds.curate import files

ROW = '{"question": "What is 2 + 3?", "answer": "It is #### 5"}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RINGLITE_DATA", "~/sets")
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


def test_a_home_folder_is_expanded_for_the_fingerprint_too(home: Path) -> None:
    (home / "rows.jsonl").write_text(ROW)
    source = Source(hub="some/set", local="rows.jsonl")
    context = SimpleNamespace(section=SimpleNamespace(sources=[source]))
    assert local_path(source) == home / "rows.jsonl"
    assert files(context) == {"source/some/set": home / "rows.jsonl"}


def test_a_home_folder_is_expanded_for_benchmarks(home: Path) -> None:
    from ringlite_cli.evals.tasks import TASKS

    file = home / TASKS["gsm8k"].file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ROW)
    (problem,) = load_task("gsm8k")
    assert problem.answer == "5"
