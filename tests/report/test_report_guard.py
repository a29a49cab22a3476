"""What the guard did is on the page: every alarm with what was seen, and the steps that were taken back."""

import json

from make_run import make_run

from ringlite_cli.report.build import write_report

EVENTS = [
    {
        "attempt": 0,
        "step": 31,
        "rule": "grad_norm",
        "action": "log",
        "value": 50.0,
        "limit": 20.0,
        "words": "a <b>spike</b>",
    },
    {
        "attempt": 0,
        "step": 40,
        "rule": "reward",
        "action": "rollback",
        "value": 0.1,
        "limit": 0.2,
        "words": "the mean reward fell",
        "to": 30,
        "skipped": 10,
        "lr_scale": 0.2,
    },
]


def page_of(run) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_a_rollback_is_told_and_drawn(tmp_path):
    run = make_run(tmp_path / "run", rl_steps=40, sft_steps=20)
    calm = page_of(run)
    assert "taken back" not in calm
    (run / "rl-math" / "guard.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    rows = [{"attempt": 0, "step": step, "reward": 0.5 - step / 100} for step in range(31, 41)]
    (run / "rl-math" / "rolled_back.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(run)
    assert "Guard: 2 alarms, 1 rollbacks." in page
    assert "Reward, kept and taken back" in page
    assert "a &lt;b&gt;spike&lt;/b&gt;" in page
    assert "<b>spike" not in page


def test_half_written_events_do_not_spoil_the_page(tmp_path):
    run = make_run(tmp_path / "run", rl_steps=10, sft_steps=10)
    (run / "rl-math" / "guard.jsonl").write_text('{"step": null, "rule": 3, "words": [], "to": "x"}\n{"st')
    assert "Guard: 1 alarms." in page_of(run)
