"""What the page says: comparisons, the token account, rollouts to read, and how numbers are printed."""

import shutil

import pytest
from make_run import edit, make_run, put, put_rows

from ringlite_cli.report import words
from ringlite_cli.report.load import ends, load_run
from ringlite_cli.report.reading.tallies import Tallies
from ringlite_cli.report.sections.scores import changes, scores_in
from ringlite_cli.report.sections.tokens import account, efficiency


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "demo", rl_steps=4, sft_steps=6)


def scores(run, table):
    put(run / "eval", "scores.json", table)
    return scores_in(load_run(run).of("eval")[0])


def test_intervals_that_touch_overlap(run):
    found = scores(
        run,
        {
            "a": {"t": {"avg@k": 0.2, "ci95": [0.1, 0.3]}},
            "b": {"t": {"avg@k": 0.4, "ci95": [0.3, 0.5]}},
            "c": {"t": {"avg@k": 0.1, "ci95": [0.0, 0.2]}},
        },
    )
    assert [s.apart for s in found] == [None, False, True]
    assert changes(found) == [
        "From a to b, in points: t +20.0 (overlapping).",
        "From b to c, in points: t −30.0 (intervals apart).",
    ]


def test_change_is_against_the_last_policy_that_has_the_task(run):
    found = scores(run, {"a": {"t": {"avg@k": 0.2}}, "b": {"u": {"avg@k": 0.9}}, "c": {"t": {"avg@k": 0.5}}})
    assert [(s.policy, s.before.policy) for s in found if s.before] == [("c", "a")]
    assert changes(found) == ["From a to c, in points: t +30.0 (no intervals)."]


def test_scores_come_from_the_manifest_where_the_file_is_gone(run):
    (run / "eval" / "scores.json").unlink()
    assert len(scores_in(load_run(run).of("eval")[0])) == 16


def test_efficiency_counts_sft_tokens_up_to_the_pick(run):
    """6 SFT steps of 4,210 tokens, epoch 4 of 6 picked: 4 * 4210; RL is what both stages trained."""
    found = efficiency(load_run(run))
    assert found.sft == 4 * 4210
    assert found.rl == sum(account(stage).trained for stage in load_run(run).of("rl"))
    assert "checkpoint-4" in found.start


def test_efficiency_without_a_pick_counts_all_of_sft(run):
    (run / "select" / "decision.json").unlink()
    assert efficiency(load_run(run)).sft == 6 * 4210
    shutil.copytree(run / "sft", run / "general-sft")
    edit(run / "general-sft" / "manifest.json", lambda m: m.update(stage="general-sft", parent=["rl-mixed"]))
    assert efficiency(load_run(run)).sft == 6 * 4210  # what is trained after RL is none of its start


def test_tokens_of_an_unfinished_stage_come_from_its_steps(run):
    before = account(load_run(run).of("rl")[0])
    edit(run / "rl-math" / "manifest.json", lambda m: m.update(tokens={}, status="interrupted"))
    edit(run / "sft" / "manifest.json", lambda m: m.update(tokens={}))
    after = load_run(run)
    assert account(after.of("rl")[0]).trained == before.trained
    assert account(after.of("rl")[0]).dropped == before.dropped
    assert account(after.of("sft")[0]).trained == 6 * 4210


def test_ends_are_means_over_a_tenth_of_the_steps():
    assert ends(range(20)) == (0.5, 18.5)
    assert ends([7.0]) == (7.0, 7.0)
    assert ends([]) == (None, None)


def test_rollouts_chosen_are_the_first_and_last_of_each_kind():
    def row(step, domain, reward):
        return {"step": step, "domain": domain, "reward": reward, "response": "r"}

    told = Tallies(None)
    for each in [row(s, d, r) for s in range(1, 6) for d in ("math", "code") for r in (0.0, 1.0)]:
        told.add(each)
    chosen = [(r["domain"], r["step"], r["reward"]) for r in told.examples(40)]
    assert chosen == [(d, s, r) for d in ("code", "math") for s in (1, 5) for r in (0.0, 1.0)]
    assert len(told.examples(3)) == 3
    likeness = Tallies(None)
    for verdict, reward in (("wrong", 0.6), ("correct", 0.9)):
        likeness.add({"domain": "general", "verdict": verdict, "reward": reward, "response": "x"})
    assert likeness.ends.keys() == {("general", False), ("general", True)}
    empty = Tallies(None)
    empty.add({"step": 1})
    assert empty.examples(5) == []


def test_prompts_may_be_conversations(run):
    from ringlite_cli.report import write_report

    put_rows(
        run / "rl-math",
        "rollouts.jsonl",
        [{"step": 1, "domain": "math", "prompt": [{"role": "user", "content": "add"}], "response": "2", "tokens": 3}],
    )
    assert "[user]\nadd" in write_report(run).read_text()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.short(1_234_567), "1.23 M"),
        (words.short(999_999), "1 M"),
        (words.short(8192), "8,192"),
        (words.decimal(0.01234), "0.0123"),
        (words.decimal(7943.4), "7,943"),
        (words.decimal(0.00001), "1.0e−05"),
        (words.decimal(0.0), "0"),
        (words.percent(0.3821), "38.2 %"),
        (words.percent(None), "–"),
        (words.percent(0.9996), "99.96 %"),
        (words.percent(0.0004), "0.04 %"),
        (words.percent(1.0), "100.0 %"),
        (words.percent(1 - 1e-12), "100.0 %"),
        (words.percent(1 - 1e-7), ">99.9999 %"),
        (words.percent(2.0), "200.0 %"),
        (words.percent(-0.0004), "−0.04 %"),
        (words.decimal(float("inf")), "inf"),
        (words.points(-0.004), "−0.4"),
        (words.points(0.178), "+17.8"),
        (words.duration(12.34), "12.3 s"),
        (words.duration(252), "4 min 12 s"),
        (words.duration(3725), "1 h 02 min"),
        (words.duration(59.96), "60.0 s"),
        (words.size(1536), "1.5 KiB"),
        (words.joined(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_as_words(shown, expected):
    assert shown.replace("\u00a0", " ") == expected
