"""The report's tables of what curation says beside the funnel."""

from pathlib import Path

import pytest
from make_run import edit, make_run

from ringlite_cli.report import write_report

FUNNEL = {
    "solutions": {"leet.json": {"passed": 99, "failed": {"solution_time": 1}}},
    "tests_mended": {"tests_stray_space": 7},
    "distill": {"rounds": [{"asked": 40, "kept": 30}, {"asked": 10, "kept": 1}], "rejected": {"verdict_wrong": 5}},
    "pass_rates": {"policy-a": {"0": 3, "0.5 to 0.6": 2, "1": 11}},
    "labels": {"subject_class": {"51": 12, "11": 5}, "pass_rate": {"0.5 to 0.6": 2}},
    "labelled_by": {"subject_class": {"words": 9, "model m": 8}},
    "examples": {"duplicate_near": [{"id": "a:1", "prompt": "<b>one", "other_prompt": "two", "score": 0.91}]},
}


@pytest.mark.parametrize("broken", [False, True])
def test_tables_of_curation(tmp_path: Path, broken: bool) -> None:
    run = make_run(tmp_path / "demo")
    edit(run / "curate" / "funnel.json", lambda d: d.update(dict.fromkeys(FUNNEL, "no table") if broken else FUNNEL))
    html = Path(write_report(run)).read_text()
    shown = ("solution time 1", "tests stray space", "verdict wrong", "model m 8", "&lt;b&gt;one", "each round asks")
    captions = ("Pass rates of policy-a, all problems asked", "Rows kept, by subject class")
    assert {word for word in (*shown, *captions) if word in html} == (set() if broken else {*shown, *captions})
