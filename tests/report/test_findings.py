"""Findings: every rule fires on numbers that are wrong, and stays silent on numbers just inside its limit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_run import edit, make_run, put, put_rows

from ringlite_cli.report import write_report
from ringlite_cli.report.findings import RULES, examine
from ringlite_cli.report.load import load_run

Change = Callable[[Path], Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("sound") / "demo", rl_steps=20, sft_steps=20)


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "demo"))


def steps(stage: str = "rl-math", last: int = 0, **values: Any) -> Change:
    """Sets columns in the rows of a stage, in the last `last` ones or in all."""

    def change(run: Path) -> None:
        rows = [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text().splitlines()]
        for row in rows[-last:]:
            row.update(values)
        put_rows(run / stage, "metrics.jsonl", rows)

    return change


def score(policy: str = "rl-mixed", task: str = "math", **values: Any) -> Change:
    return lambda run: edit(run / "eval" / "scores.json", lambda scores: scores[policy][task].update(values))


def guard(stage: str = "rl-math", **rules: Any) -> Change:
    return lambda run: edit(run / stage / "manifest.json", lambda m: m["recipe"].update(guard=rules))


def manifest(stage: str, **values: Any) -> Change:
    return lambda run: edit(run / stage / "manifest.json", lambda m: m.update(values))


def file(stage: str, name: str, value: Any) -> Change:
    return lambda run: put(run / stage, name, value)


def lines(stage: str, name: str, *rows: dict[str, Any]) -> Change:
    return lambda run: put_rows(run / stage, name, list(rows))


def candidate(**values: Any) -> Change:
    """Changes the picked candidate."""

    def change(run: Path) -> None:
        picked = json.loads((run / "select" / "decision.json").read_text())["picked"]
        edit(run / "select" / "candidates.json", lambda rows: [r.update(values) for r in rows if r["name"] == picked])

    return change


def both(*changes: Change) -> Change:
    return lambda run: [change(run) for change in changes]


def tally(**verdicts: int) -> dict[str, Any]:
    return {"verdicts_by_domain": {"math": verdicts}}


def flat(policies: tuple[str, ...], value: float) -> Change:
    """Gives policies one score on all tasks, within 3 points."""
    new = {"avg@k": value, "ci95": [value - 0.03, value + 0.03]}
    return lambda run: edit(
        run / "eval" / "scores.json", lambda scores: [row.update(new) for p in policies for row in scores[p].values()]
    )


def hacked(**last: Any) -> Change:
    """Twenty steps of a judge whose opinion rises from 0.3 to 0.6; other columns change with it."""
    first = {"reward_parts": {"judge": 0.3, "penalty/repetition": 0.0}, "response_tokens_mean": 40.0, "reward": 0.4}
    first |= {"held_out_by_domain": {"math": 0.5}}
    return both(steps(**first), steps(last=2, **({"reward_parts": {"judge": 0.6}} | last)))


HACKED = "rewards that may be hacked"
LONGER, WORSE = {"response_tokens_mean": 60.0}, {"held_out_by_domain": {"math": 0.4}}
BARREN = {"informative_fraction": 0.0, "reward": 0.0}
FUNNEL = {"rows_in": 100, "dropped": {"missing_answer": 95}, "out": 5}
ALARM = {"step": 4, "rule": "reward", "action": "log", "words": "the mean reward fell"}
ALL = ("base", "select", "rl-math", "rl-mixed")

WRONG: list[tuple[str, Change, str, str, str]] = [
    (
        HACKED,
        hacked(**LONGER),
        "amber",
        "the reward of judge rises from 0.300 to 0.600, while responses grow from 40 to 60 tokens",
        "rewards.length_penalty",
    ),
    (
        HACKED,
        hacked(reward_parts={"judge": 0.6, "penalty/repetition": -0.1}),
        "amber",
        "while repetition costs 0.100 where it cost 0.000: the reward may be hacked",
        "repetition_penalty",
    ),
    (
        HACKED,
        hacked(**WORSE),
        "red",
        "while the held-out score of math falls from 0.500 to 0.400",
        "rewards.weights",
    ),
    (HACKED, hacked(**LONGER, **WORSE), "red", "to 60 tokens and the held-out score of math falls", "rollouts"),
    (HACKED, hacked(**WORSE, reward_parts={}, reward=0.5), "red", "the training reward rises from 0.400", "rollouts"),
    (
        "a stage that stopped",
        manifest("rl-math", status="failed", message="no\nroom"),
        "red",
        "failed: no room",
        "mend",
    ),
    ("a stage that stopped", manifest("rl-math", status="interrupted"), "amber", "was interrupted", "same command"),
    (
        "results of earlier results",
        manifest("rl-mixed", outputs={"policy": {"path": "rl-mixed/policy", "digest": "sha256:other"}}),
        "red",
        "was made from an earlier result of rl-mixed: its scores are those of the earlier one",
        "ringlite run",
    ),
    ("rows that are left", file("curate", "funnel.json", FUNNEL), "amber", "kept 5 of 100 rows", "missing_answer"),
    ("rows that are left", file("curate", "funnel.json", FUNNEL | {"out": 0}), "red", "kept 0 of 100", "dropped.jsonl"),
    ("the picked checkpoint", candidate(entropy=0.9), "amber", "entropy 0.900 is above the band", "train sft longer"),
    ("the picked checkpoint", candidate(entropy=0.1), "amber", "entropy 0.100 is below the band", "earlier checkpoint"),
    ("the picked checkpoint", candidate(**{"pass@1": 0.0}), "red", "solves none of the problems", "easier problems"),
    ("SFT's loss", steps("sft", last=2, loss=9.0), "red", "the loss does not fall", "trl.learning_rate"),
    (
        "traces left out",
        file("sft", "samples.json", {"samples": 80, "left_out": {"too long": 20}, "cut": 0}),
        "amber",
        "20.0\u00a0% of the traces are left out",
        "trl.max_length",
    ),
    (
        "numbers that are not finite",
        steps("sft", last=1, loss=float("nan")),
        "red",
        "loss is no finite number at step 20",
        "trl.learning_rate",
    ),
    (
        "numbers that are not finite",
        steps(last=3, grad_norm=float("inf")),
        "red",
        "at step 18, and 2 times more",
        "trl.",
    ),
    (
        "signal",
        steps(**BARREN),
        "red",
        "no signal in 20 of 20 steps: no group has different rewards; the mean reward is 0.00",
        "easier problems",
    ),
    ("signal", steps(informative_fraction=0.0, reward=1.0), "red", "right already (reward 1.00)", "harder problems"),
    ("signal", steps(**BARREN, truncated_fraction=1.0), "red", "cut at their limit", "trl.max_completion_length"),
    ("signal", steps(last=3, **BARREN), "amber", "no signal in 3 of 20 steps", "easier problems"),
    ("signal", steps(last=2, informative_fraction=0.05), "amber", "little signal", "middling difficulty"),
    ("entropy", steps(last=2, entropy=0.1), "amber", "the entropy halves", "trl.entropy_coef"),
    ("entropy", steps(last=2, entropy=0.01), "red", "the entropy collapses", "trl.entropy_coef"),
    ("entropy", steps(last=2, entropy=1.5), "amber", "the entropy grows", "lower trl.entropy_coef"),
    ("entropy", guard(entropy={"low": 0.3}), "red", "below the guard's 0.3", "trl.entropy_coef"),
    ("entropy", guard(entropy={"low": 0.0, "high": 0.1}), "red", "above the guard's 0.1", "lower trl.entropy_coef"),
    (
        "responses cut in training",
        steps(last=2, truncated_fraction=0.3),
        "amber",
        "30.0\u00a0% of the last steps'",
        "trl.max_completion_length",
    ),
    ("responses cut in training", steps(last=2, truncated_fraction=0.6), "red", "60.0\u00a0%", "sft"),
    (
        "unparsed responses in training",
        steps(last=2, **tally(correct=40, unparsed=60)),
        "red",
        "60.0\u00a0%",
        "prompt_suffix",
    ),
    ("KL", steps(last=2, kl=0.7), "amber", "0.700 nats per token from its reference", "trl.beta"),
    ("KL", steps(last=2, kl=2.0), "red", "2.00 nats", "trl.beta"),
    (
        "the guard's alarms",
        lines("rl-math", "guard.jsonl", ALARM, ALARM),
        "amber",
        "rule reward was broken 2 times, first at step 4: the mean reward fell",
        "guard's table",
    ),
    ("the guard's alarms", lines("rl-math", "guard.jsonl", ALARM | {"to": 2}), "red", "broken once", "guard's table"),
    ("engine against trainer", steps(engine_mismatch=0.1), "amber", "differ by 0.100 nats", "dtype"),
    ("engine against trainer", steps(engine_mismatch=0.3), "red", "differ by 0.300 nats", "mismatch corrects"),
    (
        "engine against trainer",
        both(guard(mismatch={"above": 0.06}), steps(engine_mismatch=0.1)),
        "red",
        "0.100",
        "dtype",
    ),
    ("engine against trainer", steps(mismatch_masked=0.2), "amber", "leaves 20.0\u00a0% of the tokens", "dtype"),
    (
        "groups dropped for their age",
        steps(tokens_generated=1000, tokens_dropped_old=60, groups_dropped_old=1),
        "amber",
        "6.0\u00a0% of the tokens that rollouts wrote went with 20 groups past max_retention",
        "raise rollouts.max_retention",
    ),
    (
        "groups dropped for their age",
        steps(tokens_generated=1000, tokens_dropped_old=300, groups_dropped_old=1),
        "red",
        "30.0\u00a0% of the tokens",
        "lower in_flight",
    ),
    ("the token budget", steps(budget_fill=0.7), "amber", "filled to 70.0\u00a0% on average", "undershoot: refill"),
    ("the token budget", steps(budget_fill=0.3), "red", "filled to 30.0\u00a0%", "prompts_per_step"),
    (
        "responses without a verdict",
        steps(responses_without_verdict=3, **tally(correct=57, error=3)),
        "amber",
        "60 responses (5.0\u00a0%) got no verdict",
        "ringlite doctor",
    ),
    (
        "experts of the router",
        steps(router_load_min=[0.0, 0.9], router_load_max=[2.0, 1.1]),
        "amber",
        "hardly used any more",
        "router_balance_coef",
    ),
    (
        "experts of the router",
        steps(router_load_min=[0.5], router_load_max=[5.0]),
        "amber",
        "5.0 times an even share",
        "router_balance_coef",
    ),
    (
        "responses cut in evaluation",
        score(truncated_fraction=0.2),
        "amber",
        "responses of rl-mixed are cut at the length limit: math 20.0\u00a0%",
        "max_completion_length",
    ),
    ("responses cut in evaluation", score(truncated_fraction=0.8), "red", "math 80.0\u00a0%", "trust the scores"),
    (
        "unparsed responses in evaluation",
        score(verdicts={"unparsed": 900}),
        "amber",
        "of the responses of rl-mixed",
        "prompt_suffix",
    ),
    ("contamination", score(contaminated=12), "red", "12 of 200 in math", "avg@k_clean"),
    (
        "progress from stage to stage",
        flat(("rl-mixed",), 0.1),
        "red",
        "rl-mixed is worse than rl-math: math",
        "domain_mix",
    ),
    (
        "progress from stage to stage",
        flat(ALL, 0.4),
        "amber",
        "the intervals of base and rl-mixed overlap on every task",
        "ringlite compare",
    ),
]

RIGHT: list[tuple[str, Change]] = [
    (HACKED, hacked()),
    (HACKED, hacked(response_tokens_mean=59.0)),
    (HACKED, hacked(reward_parts={"judge": 0.34}, response_tokens_mean=90.0)),
    (HACKED, hacked(held_out_by_domain={"math": 0.46})),
    (HACKED, hacked(held_out_by_domain={"math": 0.8})),
    (HACKED, hacked(reward_parts={"judge": 0.6, "penalty/repetition": -0.01})),
    (
        HACKED,
        hacked(reward_parts={"math": 0.9}, reward=0.9, response_tokens_mean=90.0),
    ),  # its verifier may ask for length
    ("a stage that stopped", manifest("rl-math", status="running")),
    ("results of earlier results", manifest("curate", status="interrupted")),
    ("rows that are left", file("curate", "funnel.json", FUNNEL | {"out": 11})),
    ("the picked checkpoint", candidate(entropy=0.5)),
    ("SFT's loss", steps("sft", last=2, loss=2.0)),
    ("traces left out", file("sft", "samples.json", {"samples": 91, "left_out": {"too long": 9}, "cut": 0})),
    ("numbers that are not finite", steps(grad_norm=1e30)),
    ("signal", steps(last=1, **BARREN, entropy=0.3)),
    ("entropy", steps(last=2, entropy=0.2)),
    ("entropy", guard(entropy={"low": 0.05, "high": 0.9})),
    ("responses cut in training", steps(last=2, truncated_fraction=0.09)),
    ("unparsed responses in training", steps(last=2, **tally(correct=91, unparsed=9))),
    ("KL", steps(last=2, kl=0.4)),
    ("the guard's alarms", lines("rl-math", "guard.jsonl")),
    ("engine against trainer", steps(engine_mismatch=0.04, mismatch_masked=0.05)),
    ("groups dropped for their age", steps(tokens_generated=1000, tokens_dropped_old=40, groups_dropped_old=1)),
    ("the token budget", steps(budget_fill=0.95)),
    ("responses without a verdict", steps(responses_without_verdict=0, **tally(correct=60))),
    ("experts of the router", steps(router_load_min=[0.5, 0.4], router_load_max=[2.0, 1.8])),
    ("responses cut in evaluation", score("base", truncated_fraction=0.9)),  # of the result alone
    ("unparsed responses in evaluation", score(verdicts={"unparsed": 60})),
    ("contamination", score(contaminated=0)),
    ("progress from stage to stage", flat(("select", "rl-math", "rl-mixed"), 0.4)),
]


def found(run: Path, rule: str) -> list[tuple[str, str, str]]:
    return [(f.level, f.words, f.cure) for f in examine(load_run(run)).findings if f.rule == rule]


def test_nothing_is_found_in_a_sound_run(sound: Path) -> None:
    assert examine(load_run(sound)).findings == []


@pytest.mark.parametrize(("rule", "change", "level", "words", "cure"), WRONG)
def test_a_rule_fires(run: Path, rule: str, change: Change, level: str, words: str, cure: str) -> None:
    change(run)
    (one,) = found(run, rule)
    assert one[0] == level
    assert words in one[1]
    assert cure in one[2]


@pytest.mark.parametrize(("rule", "change"), RIGHT)
def test_a_rule_that_looks_and_finds_nothing_is_silent(run: Path, rule: str, change: Change) -> None:
    change(run)
    assert found(run, rule) == []
    assert rule in examine(load_run(run)).looked


def test_every_rule_is_tried_both_ways() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    assert {case[0] for case in WRONG} == {case[0] for case in RIGHT} == set(names)


def test_the_page_shows_findings_red_first_and_where_to_look(run: Path) -> None:
    both(steps(last=2, kl=0.7), steps("rl-mixed", **BARREN), manifest("curate", status="interrupted"))(run)
    page = write_report(run).read_text(encoding="utf-8")
    block = page[page.index('id="findings"') : page.index("What was looked at")]
    levels = block.split('<li class="finding ')[1:]
    assert [level.partition('"')[0] for level in levels] == ["red", "amber", "amber"]
    assert [level.partition("<b>")[2].partition("</b>")[0] for level in levels] == ["rl-mixed", "curate", "rl-math"]
    assert '<a href="#rl"><b>rl-mixed</b></a>: no signal in' in block
    assert "easier problems" in levels[0]


def test_a_page_without_findings_says_what_that_means_and_what_it_could_not_see(sound: Path) -> None:
    page = write_report(sound).read_text(encoding="utf-8")
    assert "No rule found anything. That shows no fault of the kinds below, and nothing more." in page
    assert "no numbers for it: contamination" in page
    blind = examine(load_run(sound)).blind
    assert "contamination" in blind
    assert "signal" not in blind


def test_files_of_a_run_that_are_broken_make_no_finding_up(run: Path) -> None:
    (run / "rl-math" / "guard.jsonl").write_text('{"step": null, "rule": 3, "words": [], "to": "x"}\n{"st')
    (run / "rl-math" / "metrics.jsonl").write_text(
        '{"step": 1, "kl": "x", "informative_fraction": [], "entropy": {}}\n7\n'
    )
    (run / "eval" / "scores.json").write_text("[1]")
    edit(run / "rl-mixed" / "manifest.json", lambda m: m.update(recipe={"guard": [1]}))
    rules = {finding.rule for finding in examine(load_run(run)).findings}
    assert rules == {"the guard's alarms"}


def test_a_gap_that_the_guard_told_of_is_not_said_twice(run: Path) -> None:
    both(hacked(**WORSE), lines("rl-math", "guard.jsonl", ALARM | {"rule": "reward_gap", "words": "it fell"}))(run)
    assert found(run, HACKED) == []
    ((_, words, _),) = found(run, "the guard's alarms")
    assert "it fell" in words


def test_what_the_guard_saw_is_not_said_twice(run: Path) -> None:
    """An alarm that the numbers bear out is told by the rule that reads them; one that is over, or undone, stays."""
    seen = ALARM | {"rule": "no_signal", "words": "nothing can be learned"}
    both(lines("rl-math", "guard.jsonl", seen), steps(**BARREN))(run)
    assert found(run, "the guard's alarms") == []
    assert len(found(run, "signal")) == 1
    lines("rl-math", "guard.jsonl", seen | {"to": 2})(run)
    assert len(found(run, "the guard's alarms")) == 1
    both(lines("rl-math", "guard.jsonl", seen), steps(informative_fraction=0.5))(run)
    assert len(found(run, "the guard's alarms")) == 1
    assert found(run, "signal") == []


def test_an_evaluation_under_way_has_no_result_yet(run: Path) -> None:
    both(score("rl-mixed", truncated_fraction=0.9), manifest("eval", status="running"))(run)
    examined = examine(load_run(run))
    assert examined.findings == []
    assert "responses cut in evaluation" in examined.blind


def test_one_rule_in_several_stages_is_one_line_and_many_lines_are_folded(run: Path) -> None:
    for stage, kl in (("rl-math", 2.0), ("rl-mixed", 3.0)):
        steps(stage, kl=kl, budget_fill=0.1, truncated_fraction=0.9, engine_mismatch=0.5)(run)
    both(candidate(**{"pass@1": 0.0}), score(contaminated=3), score(truncated_fraction=0.9))(run)
    page = write_report(run).read_text(encoding="utf-8")
    block = page[page.index('id="findings"') : page.index("What was looked at")]
    first, rest = block.split("<summary>1 more</summary>")
    assert (first.count('<li class="finding'), rest.count('<li class="finding')) == (6, 1)
    one = "<b>rl-math</b></a>: the policy is 2.00 nats per token from its reference;"
    assert f'{one} <a href="#rl"><b>rl-mixed</b></a>: the policy is 3.00 nats' in block
    assert "<b>rl-math and rl-mixed</b></a>: the token budget is filled to 10.0" in block
