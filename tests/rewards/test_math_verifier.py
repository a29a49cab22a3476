"""Math verdicts: by text, by the reader of whole answers, and when that hangs."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings


@pytest.fixture(scope="module")
def verify():
    with Verifiers(VerifierSettings(workers=1, math_timeout=1.0)) as opened:
        yield opened


SLOW = (
    ", ".join(rf"\sin(\sqrt{{x+{n}}})^{{{n}}}\arctan(x^{{{n}}}+1)" for n in range(2, 55)),
    ", ".join(rf"\sin(\sqrt{{{n}+x}})^{{{n}}}\arctan(1+x^{{{n}}})" for n in range(54, 1, -1)),
)
"""Two lists of equal items in opposite order, each compared with each at many points: seconds of work."""


def verdict(verify, gold, response, domain="math"):
    return verify([(Problem("p", domain, "?", answer=gold), response)])[0].verdict


def box(answer):
    return f"Thinking. \\boxed{{{answer}}}"


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("42", "42", "correct"),
        ("42", "42.0", "correct"),
        ("42", "４２", "correct"),
        ("1000", "1,000", "correct"),
        ("1000", r"1{,}000", "correct"),
        ("0.5", ".5", "correct"),
        ("-3", "−3", "correct"),
        ("42", "43", "wrong"),
        ("0.333333", "0.333334", "wrong"),
        ("3", "3.0001", "wrong"),
        (r"\frac{1}{2}", r"\dfrac{1}{2}", "correct"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \frac{\pi}{2})", "correct"),
        (r"\text{east}", "east", "correct"),
        ("", "3", "error"),
    ],
)
def test_plain(verify, gold, answer, expected):
    assert verdict(verify, gold, box(answer)) == expected


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        (r"\frac{1}{2}", "0.5", "correct"),
        (r"\frac{1}{2}", r"50\%", "correct"),
        ("x^2+1", "1+x^2", "correct"),
        (r"\{1,2\}", r"\{2,1\}", "correct"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", "correct"),
        (r"1.5\times 10^{3}", "1500", "correct"),
        ("[0,1)", "[0,1]", "wrong"),
        (r"\frac{1}{3}", r"\frac{1}{2}", "wrong"),
        (r"\sqrt{2}", r"\sqrt{" * 40 + "2" + "}" * 40, "wrong"),
    ],
)
def test_algebra(verify, gold, answer, expected):
    assert verdict(verify, gold, box(answer)) == expected


def test_gold_answers_as_lists_are_alternatives(verify):
    gold = json.dumps(["\\frac{1}{2}\n", "0.25"])
    assert [verdict(verify, gold, box(a)) for a in ("0.25", "0.5", "0.75")] == ["correct", "correct", "wrong"]


@pytest.mark.parametrize("response", ["no box at all", r"\boxed{3", r"\boxed{}", ""])
def test_unparsed(verify, response):
    assert verdict(verify, "3", response) == "unparsed"


@pytest.mark.slow
@pytest.mark.timeout(60)  # each ends within two or three seconds, or not at all
@pytest.mark.parametrize(
    "answer",
    ["9^{9^{9^{9^{9}}}}", "(10^{10^{8}})!", "\\frac{" * 3000 + "}" * 3000, "\x00\ud800", "{" * 500 + "1" + "}" * 500],
)
def test_hostile_answers_end_in_time_and_the_pool_goes_on(verify, answer):
    assert verdict(verify, r"\sqrt{5}", box(answer)) in ("timeout", "wrong", "unparsed")
    assert verdict(verify, r"\sqrt{5}", box("5^{1/2}")) == "correct"


@pytest.mark.slow
def test_a_hang_is_killed_counted_and_its_verdict_remembered():
    with Verifiers(VerifierSettings(workers=2, math_timeout=0.5)) as verify:
        hang = (Problem("p", "math", "?", answer=SLOW[0]), box(SLOW[1]))
        fine = [(Problem("p", "math", "?", answer=rf"\frac{{{n}}}{{7}}"), box(f"{n}/7")) for n in range(1, 30)]
        verdicts = verify([hang, *fine, hang])
        assert [v.verdict for v in verdicts] == ["timeout", *["correct"] * 29, "timeout"]
        assert verdicts[0].reward == 0.0
        assert verify.counts()["reader/timeout"] == 1
        assert verify.counts()["reader/cached"] == 1


@pytest.mark.slow
def test_workers_end_when_the_owner_is_killed_in_the_middle_of_a_hang():
    script = (
        "from ringlite_cli.rewards.pool import RewardPool\n"
        "p = RewardPool(1, seconds=60.0)\n"
        "print(p.submit(['1/3'], '2/6').result().verdict, flush=True)\n"
        f"p.submit([{SLOW[0]!r}], {SLOW[1]!r}).result()\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    assert owner.stdout.readline() == "correct\n"
    time.sleep(0.3)
    workers = [p for p in _processes() if "reward_worker" in p[1] and p[2] in (owner.pid, *_children(owner.pid))]
    assert len(workers) == 2
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _running(workers):
        time.sleep(0.05)
    assert not _running(workers)


def _processes():
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            found.append((int(entry.name), (entry / "cmdline").read_text(), int(parent), state))
        except OSError:
            continue
    return found


def _children(pid):
    return [p for p, _, parent, _ in _processes() if parent == pid]


def _running(workers):
    alive = {p for p, _, _, state in _processes() if state != "Z"}
    return [p for p, *_ in workers if p in alive]


@pytest.mark.parametrize("name", ["math500.json", "minerva.json"])
def test_real_gold_answers_equal_themselves(verify, real_data, name):
    rows = [r["answer"] for r in json.loads((real_data / "eval" / name).read_text())]
    texts = [a if isinstance(a, str) else json.dumps(a) for a in rows]
    first = [a if isinstance(a, str) else a[0] for a in rows]
    domain = "math" if name == "math500.json" else "science"
    pairs = [
        (Problem(str(i), domain, "?", answer=t), box(a)) for i, (t, a) in enumerate(zip(texts, first, strict=True))
    ]
    assert [pairs[i] for i, v in enumerate(verify(pairs)) if v.verdict != "correct"] == []
