"""Responses of a page: streamed in bounded memory, sampled by whole groups, packed so that no text breaks out."""

import base64
import gzip
import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make_run import edit, make_run, put_rows

from ringlite_cli.problems import Problem, write_problems
from ringlite_cli.report import write_report
from ringlite_cli.report.load import load_run
from ringlite_cli.report.reading.golds import golds
from ringlite_cli.report.reading.groups import LETTERS, MOST_ROWS, response_groups, rollout_groups
from ringlite_cli.report.reading.sample import Sample
from ringlite_cli.report.reading.stream import response_rows, rollout_rows
from ringlite_cli.report.sections import rollouts
from ringlite_cli.runs.rollouts import RolloutWriter

HOSTILE = "</template></script><!--<script>alert(1)</script>\u2028\u2029\x00\x1b[2J\ud800"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("reading") / "demo", rl_steps=6, sft_steps=6)


def unpacked(page: str) -> dict[str, Any]:
    (packed,) = re.findall(r'<template id="browser-data">([A-Za-z0-9+/=]+)</template>', page)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def rollout(step: int, problem: str, **more: Any) -> dict[str, Any]:
    row = {"step": step, "prompt_id": problem, "domain": "math", "prompt": "p", "response": "r", "verdict": "wrong"}
    return row | {"reward": 0.0, "advantage": 0.0, "tokens": 3, "tokens_kept": 3, "truncated": False} | more


def test_all_responses_are_on_the_page_and_it_says_so(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    data = unpacked(page)
    rows = sum(len(list(rollout_rows(run / stage))) for stage in ("rl-math", "rl-mixed"))
    assert sum(len(group["rows"]) for group in data["groups"]) == rows == 2 * 6 + 2 * 3 * 3
    assert f"All {rows} rollouts of RL are on this page." in page


def test_hostile_text_stays_inside_its_packet(tmp_path: Path) -> None:
    spoilt = make_run(tmp_path / "spoilt", rl_steps=2, sft_steps=6)
    keys = ("prompt_id", "domain", "prompt", "response", "verdict", "detail")
    row = {"step": 1, "reward": 1.0} | dict.fromkeys(keys, "x" + HOSTILE)
    (spoilt / "rl-math" / "rollouts.jsonl").write_text(json.dumps(row) + "\n")
    page = write_report(spoilt).read_text(encoding="utf-8")
    assert "<!--<script>" not in page
    assert page.count("<script") == page.count("</script>") == 1
    group = next(group for group in unpacked(page)["groups"] if group["policy"] == "rl-math")
    *_, detail, response = group["rows"][0]
    for seen in (detail, response):
        assert seen.startswith("x</template></script><!--<script>alert(1)</script>")
        assert not set(seen) & set("\u2028\u2029\x00\x1b\ud800")
        assert "\\u2028\\u2029\\x00\\x1b[2J" in seen


def test_a_sample_keeps_whole_groups_and_knows_no_order() -> None:
    groups = [(f"step {k % 40}/problem {k}", k, 100) for k in range(400)]
    forth, back = Sample(5000), Sample(5000)
    for key, group, size in groups:
        forth.add(key, group, 4, size)
    for key, group, size in reversed(groups):
        back.add(key, group, 4, size)
    assert forth.kept() == sorted(back.kept())
    assert 40 <= len(forth.kept()) <= 50
    assert (forth.groups, forth.rows) == (400, 1600)
    halves = [sum(group < 200 for group in forth.kept()), sum(group >= 200 for group in forth.kept())]
    assert min(halves) > 10, "the sample leans to one end"


def test_groups_of_one_key_stay_or_go_together() -> None:
    """A problem is in the sample for all its policies, or for none."""
    sample = Sample(3000)
    for policy in ("base", "select", "rl"):
        for problem in range(50):
            sample.add(f"math/{problem}", (policy, problem), 1, 100)
    by_problem: dict[int, set[str]] = {}
    for policy, problem in sample.kept():
        by_problem.setdefault(problem, set()).add(policy)
    assert 5 <= len(by_problem) <= 10
    assert all(len(policies) == 3 for policies in by_problem.values())


def test_one_group_above_the_size_is_still_shown() -> None:
    sample = Sample(10)
    sample.add("a", "whole", 1, 1000)
    assert sample.kept() == ["whole"]


def test_a_page_above_its_size_holds_a_sample_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "PAGE_BYTES", 20_000)
    large = make_run(tmp_path / "large", rl_steps=4, sft_steps=6)
    put_rows(
        large / "rl-math",
        "rollouts.jsonl",
        [
            rollout(step, f"m{problem}", response="word " * 50)
            for step in (1, 2)
            for problem in range(60)
            for _ in "abcd"
        ],
    )
    edit(large / "rl-math" / "manifest.json", lambda m: m["recipe"]["trl"].update(num_generations=4))
    page = write_report(large).read_text(encoding="utf-8")
    kept = unpacked(page)["groups"]
    told = re.search(r"(\d+) of 492 rollouts of RL are on this page: (\d+) of 1\d\d groups, a sample", page)
    assert told, re.findall(r"[^.]*rollouts of RL are on this page[^.]*", page)
    assert int(told[1]) == sum(len(group["rows"]) for group in kept)
    assert int(told[2]) == len(kept)
    assert all(len(group["rows"]) == 4 for group in kept if group["policy"] == "rl-math")


@pytest.mark.slow
def test_a_long_log_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """60 MB of rollouts in parts and a tail: the reader's peak stays far below what the rows would take."""
    stage = tmp_path / "rl-math"
    stage.mkdir()
    with RolloutWriter(stage, part_bytes=8 << 20) as log:
        for step in range(1, 401):
            log.extend(rollout(step, f"m{step}-{k // 8}", response=f"{step} {k} " * 120) for k in range(128))
    assert len(list((stage / "rollouts").glob("*.gz"))) > 2
    sample = Sample(1 << 20)
    tracemalloc.start()
    for group in rollout_groups("rl-math", rollout_rows(stage), 8):
        sample.add(f"{group.step}/{group.problem}", group, len(group.rows), group.size())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.rows == 400 * 128
    assert peak < 12 << 20


def test_rows_of_a_group_that_two_steps_trained_stay_together() -> None:
    rows = [rollout(step, problem) for problem in ("a", "b") for step in (1, 2, 1, 2)]
    assert [len(group.rows) for group in rollout_groups("rl", rows, 4)] == [4, 4]
    asked_twice = [rollout(1, "a"), rollout(1, "a"), rollout(2, "a"), rollout(2, "a")]
    assert [(group.step, len(group.rows)) for group in rollout_groups("rl", asked_twice, 2)] == [(1, 2), (2, 2)]
    assert [(group.step, len(group.rows)) for group in rollout_groups("rl", asked_twice, None)] == [(1, 2), (2, 2)]


def test_huge_groups_and_responses_are_cut_and_counted() -> None:
    rows = [rollout(1, "a", response="x" * (LETTERS + 7)) for _ in range(MOST_ROWS + 3)]
    (group,) = rollout_groups("rl", rows, None)
    assert (len(group.rows), group.left_out) == (MOST_ROWS, 3)
    assert group.rows[0][-5:] == [7, None, "", "", "x" * LETTERS]


@pytest.mark.parametrize("text", ['{"step": 1, "prompt_id": [1], "response": {}}\n7\n{"st', "\x00\n", "", "[]\n"])
def test_what_is_no_row_is_left_out(tmp_path: Path, text: str) -> None:
    for name in ("rollouts.jsonl", "responses.jsonl"):
        (tmp_path / name).write_text(text)
    assert len(list(rollout_groups("rl", rollout_rows(tmp_path), None))) == text.count("prompt_id")
    assert len(list(response_groups(response_rows(tmp_path)))) == text.count("prompt_id")


def test_a_damaged_part_costs_only_what_comes_after_it(tmp_path: Path) -> None:
    (tmp_path / "rollouts").mkdir()
    whole = gzip.compress(b"".join(json.dumps(rollout(1, f"m{k}")).encode() + b"\n" for k in range(2000)))
    (tmp_path / "rollouts" / "to-step-0000001.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    put_rows(tmp_path, "rollouts.jsonl", [rollout(2, "late")])
    assert 0 < len(list(rollout_rows(tmp_path))) < 2000


@pytest.fixture
def with_data(tmp_path: Path) -> Iterator[Path]:
    folder = make_run(tmp_path / "demo", rl_steps=2, sft_steps=6)
    tests = {"mode": "function", "entry_point": "add", "cases": [{"args": [k, 1], "out": k + 1} for k in range(5)]}
    problems = [
        Problem("m1", "math", "1+1", answer="2" + HOSTILE.replace("\ud800", "")),
        Problem("c1", "code", "add", tests=tests),
        Problem("m2", "math", "not asked", answer="9"),
    ]
    write_problems(folder / "curate" / "math.parquet", problems)
    put_rows(tmp_path, "outside.jsonl", [{"id": "m1", "answer": "stolen"}])
    inputs = {"a": {"path": "../outside.jsonl"}, "b": {"path": "curate/math.parquet"}, "c": {"path": "gone.parquet"}}
    edit(folder / "rl-math" / "manifest.json", lambda m: m.update(inputs=inputs))
    return folder


def test_gold_answers_and_tests_come_from_the_stages_data_inside_the_run(with_data: Path) -> None:
    run = load_run(with_data)
    found = golds(run, run.of("rl"), {"m1", "c1", "unknown"})
    assert set(found) == {"m1", "c1"}
    assert found["m1"].startswith("2</template>")
    assert "\u2028" not in found["m1"]
    assert found["c1"].splitlines()[:2] == ["tests of add:", '{"args": [0, 1], "out": 1}']
    assert found["c1"].splitlines()[-1] == "… 2 more"


def test_damaged_data_gives_no_golds(with_data: Path) -> None:
    (with_data / "curate" / "math.parquet").write_bytes(b"PAR1 not really")
    run = load_run(with_data)
    assert golds(run, run.of("rl"), {"m1"}) == {}


def test_what_a_reward_was_composed_of_stands_beside_its_response_and_in_the_figures(tmp_path: Path) -> None:
    composed = make_run(tmp_path / "composed", rl_steps=2, sft_steps=6)
    parts = {"instructions": 1.0, "judge": None, "penalty/length": -0.125}
    row = {"step": 1, "reward": None, "prompt_id": "p", "domain": "general", "prompt": "q", "response": "r"}
    (composed / "rl-math" / "rollouts.jsonl").write_text(json.dumps(row | {"reward_parts": parts}) + "\n")
    path = composed / "rl-math" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    more = {"reward_parts": {"instructions": 0.75, "penalty/length": -0.1}, "held_out_by_domain": {"math": 0.5}}
    path.write_text("".join(json.dumps(each | more) + "\n" for each in rows))
    page = write_report(composed).read_text(encoding="utf-8")
    group = next(group for group in unpacked(page)["groups"] if group["policy"] == "rl-math")
    assert group["rows"][0][-3] == "instructions 1, judge failed, penalty/length -0.125"
    assert "instructions 1, judge failed, penalty/length -0.125" in page  # for readers without a script
    assert "Reward by verifier, before weights" in page
    assert "Held-out score" in page


def test_rewards_of_one_verifier_are_not_said_to_be_made_of_it(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert "made of" not in page
    assert "Reward by verifier" not in page
