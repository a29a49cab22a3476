"""All domains behind one call, and whole files of responses."""

import json
import os
import threading
from dataclasses import replace

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.verifiers import _AT_ONCE
from ringlite_cli.rewards.verify_file import slowest, verify_file

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
SETTINGS = VerifierSettings(workers=2, code_timeout=1.0, isolation="none")
ADD = {"mode": "function", "language": "python", "entry_point": "f", "cases": [{"args": [1, 2], "expected": 3}]}
MATH = Problem("m", "math", "?", answer="3")
CODE = Problem("c", "code", "?", tests=ADD)
LOGIC = Problem("l", "logic", "?", answer="a b")
SCIENCE = Problem("s", "science", "?", answer="2.5 m")
GOOD = "```python\ndef f(a, b):\n    return a + b\n```"


@linux
def test_domains_keep_their_order_and_are_counted_and_timed():
    pairs = [
        (CODE, GOOD),
        (MATH, r"\boxed{3}"),
        (CODE, "```python\ndef f(a, b):\n    return a\n```"),
        (LOGIC, r"\boxed{a, b}"),
        (SCIENCE, r"\boxed{250 cm}"),
        (CODE, "def f(a, b): return a + b"),
        (MATH, r"\boxed{4}"),
        (CODE, "```python\nbad\n```\nno, rather\n" + GOOD),
    ]
    with Verifiers(SETTINGS) as verify:
        verdicts = verify(pairs)
        assert [v.verdict for v in verdicts] == [
            *("accepted", "correct", "wrong answer", "correct", "correct", "unparsed", "wrong", "accepted"),
        ]
        assert [v.reward for v in verdicts] == [1, 1, 0, 1, 1, 0, 0, 1]
        assert "last of 2 code blocks" in verdicts[-1].detail
        assert verify.counts()["code/accepted"] == 2
        assert set(verify.seconds_by_domain()) == {"math", "code", "logic", "science"}


@linux
def test_any_thread_may_ask():
    answers = []
    with Verifiers(SETTINGS) as verify:
        ask = [
            threading.Thread(target=lambda: answers.append([v.reward for v in verify([(CODE, GOOD), (MATH, "")] * 5)]))
            for _ in range(4)
        ]
        for thread in ask:
            thread.start()
        for thread in ask:
            thread.join()
    assert answers == [[1.0, 0.0] * 5] * 4


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    "response",
    [
        "```python\n" + "x = 1\n" * 200_000 + "```",
        "```python\nx = '\x00'\n```",
        "```python\nx = '\ud800'\n```",
        "```cpp\nint main() {}\n```",
        "```python\n```",
        "`" * 100_000,
    ],
)
def test_strange_responses_get_a_verdict_and_no_reward(response):
    with Verifiers(SETTINGS) as verify:
        verdict = verify([(CODE, response)])[0]
    assert verdict.verdict not in ("accepted", "error")
    assert verdict.reward == 0.0


@linux
@pytest.mark.parametrize(
    "tests",
    [
        {"mode": "unit", "code": "raise ValueError('the tests are broken')"},
        {"mode": "unit", "code": "assert f(1, 2) =="},
        {"mode": "unit", "code": "import os; os._exit(0)"},
        {"mode": "unit"},
        {"mode": "function", "entry_point": "f", "cases": [{"args": [1, 2]}]},
        {"mode": "function", "cases": [{"args": [1, 2], "expected": 3}]},
        {"mode": "stdin", "cases": [{}]},
        {"mode": "oracle"},
        {"mode": "unit", "language": "cobol", "code": ""},
        {"mode": "function", "entry_point": "f", "cases": "none"},
        {},
    ],
)
def test_broken_tests_give_a_verdict_and_are_counted(tests):
    with Verifiers(SETTINGS) as verify:
        broken, sound = verify([(Problem("b", "code", "?", tests=tests), GOOD), (CODE, GOOD)])
        assert (broken.reward, sound.verdict) == (0.0, "accepted")
        assert broken.verdict != "accepted"
        assert broken.detail
        assert sum(verify.counts().values()) == 2


def test_an_own_route_beats_the_domain():
    with Verifiers(SETTINGS) as verify:
        assert verify([(Problem("p", "general", "?", answer="x", verifier="logic"), r"\boxed{X}")])[0].reward == 1.0


@pytest.mark.parametrize("problem", [Problem("p", "general", "?"), Problem("p", "math", "?", verifier="vibes")])
def test_no_verifier_is_the_users_to_mend(problem):
    with Verifiers(SETTINGS) as verify, pytest.raises(UserError, match="the verifiers are math, science"):
        verify([(problem, "")])


def test_settings_are_checked_at_once():
    with pytest.raises(UserError, match="isolation"):
        Verifiers(VerifierSettings(isolation="total"))


@linux
def test_a_file_of_responses(tmp_path):
    rows = [
        {"id": "a", "domain": "math", "response": r"\boxed{3}", "answer": 3},
        {"id": "b", "domain": "code", "response": GOOD, "tests": ADD},
        {"id": "c", "domain": "science", "response": r"\boxed{2 m}", "answer": "200 cm"},
        {"id": "d", "domain": "math", "response": r"\boxed{0.5}", "answer": ["1/2", "2"]},
        {"id": "e", "domain": "poetry", "response": "", "answer": ""},
        {"id": "f", "domain": "math", "response": None, "answer": "3"},
        {"id": "g", "domain": "code", "response": GOOD},
        {"id": 7, "domain": "math", "response": "\ud800", "answer": "3"},
        {"id": "h", "domain": "math", "response": r"\boxed{2}", "answer": [1, 2]},
        {"id": "i", "domain": "logic", "response": r"\boxed{2}", "answer": [1, 2]},
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines[:4], "{not json", "[]", "", *lines[4:]]))
    seen = []
    out = tmp_path / "new" / "out.jsonl"
    counts = verify_file(tmp_path / "in.jsonl", out, SETTINGS, lambda done, total: seen.append((done, total)))
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in written] == ["a", "b", "c", "d", "4", "5", "e", "f", "g", "7", "h", "i"]
    assert [row["reward"] for row in written] == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    assert set(written[0]) == {"id", "verdict", "reward", "seconds", "detail"}
    assert counts == {"bad row": 5, "correct": 4, "accepted": 1, "unparsed": 1, "wrong": 1}
    rows, late = slowest(out, most=2)
    assert (len(rows), late) == (2, [])
    assert rows[0]["seconds"] >= rows[1]["seconds"] >= 0
    assert seen == [(0, 12), (12, 12)]
    assert [p.name for p in out.parent.iterdir()] == ["out.jsonl"]


def test_verifying_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr("ringlite_cli.rewards.verify_file._BATCH", 2)
    rows = [{"id": n, "domain": "math", "response": rf"\boxed{{{n % 3}}}", "answer": "1"} for n in range(7)]
    source, out = tmp_path / "in.jsonl", tmp_path / "[out].jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    def said_by(settings=SETTINGS, progress=None):
        said = []
        counts = verify_file(source, out, settings, progress, said.append)
        assert counts == {"wrong": 5, "correct": 2}
        assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [str(n) for n in range(7)]
        assert list(tmp_path.glob("*.partial")) == []
        return said

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            verify_file(source, out, SETTINGS, stop)
        (partial,) = tmp_path.glob("*.partial")
        return partial

    partial = interrupted()
    assert not out.exists()
    with partial.open("a") as held:
        held.write('{"id": "4", "verdict": "cor')  # cut off while it was written
    assert said_by() == ["goes on after 4 of 7 rows"]
    interrupted()
    assert said_by(replace(SETTINGS, math_timeout=9.0)) == []  # other settings, other verdicts: from the start
    interrupted()
    source.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert said_by() == []


def test_verdicts_do_not_take_the_place_of_the_responses(tmp_path):
    rows = tmp_path / "in.jsonl"
    rows.write_text("{}")
    for out in (rows, tmp_path, rows / "below.jsonl"):
        with pytest.raises(UserError, match="verdicts"):
            verify_file(rows, out, SETTINGS)
    assert rows.read_text() == "{}"


@pytest.mark.parametrize("content", [None, "", "\n\n"])
def test_no_rows_to_verify(tmp_path, content):
    path = tmp_path / "in.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"in\.jsonl"):
        verify_file(path, tmp_path / "out.jsonl", SETTINGS)
    assert not (tmp_path / "out.jsonl").exists()


def test_numbers_longer_than_usual_arithmetic_are_compared_exactly():
    long = "1" + "0" * 60
    pairs = [(long, long), (long, long[:-1] + "1"), ("3", long), (long, "3")]
    asked = [(Problem("m", "math", "?", answer=gold), rf"\boxed{{{got}}}") for gold, got in pairs]
    with Verifiers(SETTINGS) as verifiers:
        assert [verdict.verdict for verdict in verifiers(asked)] == ["correct", "wrong", "wrong", "wrong"]


def test_a_fault_of_ours_is_one_pair_s_error_and_not_its_batch_s(monkeypatch):
    def breaks(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setitem(_AT_ONCE, "logic", breaks)
    with Verifiers(SETTINGS) as verifiers:
        broken, fine = verifiers([(LOGIC, r"\boxed{a b}"), (MATH, r"\boxed{3}")])
    assert (broken.verdict, broken.detail) == ("error", "ZeroDivisionError: ours")
    assert fine.verdict == "correct"
