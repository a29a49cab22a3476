"""Batches that overlap and batches that are aborted, as TRL's event loop meets them."""

import asyncio
import os
import time

import pytest

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.train.rl.reward import VerifiedReward

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
TESTS = {"mode": "function", "language": "python", "entry_point": "f", "cases": [{"args": [1], "expected": 1}]}
CODE = Problem("c", "code", "?", tests=TESTS)
MATH = Problem("m", "math", "?", answer=r"\frac{1}{2}")
GOOD = "```python\ndef f(a):\n    return a\n```"
FOREVER = "```python\nwhile True: pass\n```"
SETTINGS = VerifierSettings(workers=1, code_timeout=120.0, isolation="none")
ends_early = pytest.mark.timeout(90)  # long before FOREVER ends by itself


@pytest.mark.slow
@linux
def test_batches_overlap_and_keep_their_order():
    async def both(verify):
        return await asyncio.gather(
            verify.verify_async([(CODE, GOOD), (MATH, r"\boxed{0.5}"), (CODE, "none")]),
            verify.verify_async([(MATH, r"\boxed{2}"), (CODE, GOOD)]),
        )

    with Verifiers(SETTINGS) as verify:
        (first, seconds), (second, _) = asyncio.run(both(verify))
        assert [v.verdict for v in first] == ["accepted", "correct", "unparsed"]
        assert [v.verdict for v in second] == ["wrong", "accepted"]
        assert set(seconds) == {"code", "math"}
        assert all(s >= 0 for s in seconds.values())
        assert verify.counts()["code/accepted"] == 2


@pytest.mark.slow
@linux
@ends_early
def test_an_aborted_batch_ends_its_programs_and_the_pool_goes_on():
    async def abort(verify):
        task = asyncio.create_task(verify.verify_async([(CODE, FOREVER)] * 3))
        await asyncio.sleep(1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await verify.verify_async([(CODE, GOOD)])

    with Verifiers(SETTINGS) as verify:
        verdicts, _ = asyncio.run(abort(verify))
        assert verdicts[0].verdict == "accepted"


@pytest.mark.slow
@linux
@ends_early
def test_closing_ends_what_runs():
    verify = Verifiers(SETTINGS)
    batch = verify.start([(CODE, FOREVER)] * 2)
    time.sleep(1.0)
    verify.close()
    assert [v.verdict for v in batch.verdicts()] == ["error", "error"]


def reward(verify, completions, names):
    metrics, extra = {}, {}
    function = VerifiedReward([CODE, MATH], verify)
    rewards = asyncio.run(
        function(completions=completions, problem_id=names, log_extra=extra.__setitem__, log_metric=metrics.__setitem__)
    )
    return rewards, metrics, extra


@pytest.mark.slow
@linux
def test_the_reward_function_of_trl():
    from trl.trainer.utils import is_async_callable

    with Verifiers(SETTINGS) as verify:
        assert is_async_callable(VerifiedReward([], verify))
        talk = [{"role": "assistant", "content": GOOD}]
        rewards, metrics, extra = reward(verify, [talk, r"\boxed{1/2}", r"\boxed{3}"], ["c", "m", "m"])
    assert rewards == [1.0, 1.0, 0.0]
    assert extra["verdict"] == ["accepted", "correct", "wrong"]
    assert extra["detail"] == ["", "", "expected \\frac{1}{2}, got 3"]
    assert set(metrics) == {"reward_seconds/code", "reward_seconds/math"}


def test_a_plain_verifier_serves_too_and_its_errors_are_asked_twice():
    asked = []

    def verify(pairs):
        asked.append(len(pairs))
        return [Verdict("error", 0.0) if response == "x" else Verdict("correct", 1.0) for _, response in pairs]

    rewards, metrics, extra = reward(verify, ["x", "y"], ["m", "m"])
    assert (rewards, metrics, asked) == ([None, 1.0], {}, [2, 1])
    assert extra == {"verdict": ["error", "correct"], "detail": ["", ""]}


@pytest.mark.slow
def test_responses_verified_ahead_are_found_by_the_call_once_each_and_in_order():
    logged: dict[str, list[float]] = {}

    def log_metric(name, value):
        logged.setdefault(name, []).append(value)

    with Verifiers(SETTINGS) as verify:
        function = VerifiedReward([MATH], verify)
        for response in (r"\boxed{0.5}", r"\boxed{2}", r"\boxed{0.5}", "given up"):
            function.ahead("m", response)
        function.ahead("no such problem", "x")
        time.sleep(3)  # these four are through by now, or the share below is smaller
        answers = [r"\boxed{2}", "late", r"\boxed{0.5}", r"\boxed{0.5}", r"\boxed{0.5}"]
        rewards = asyncio.run(function(answers, ["m"] * 5, log_metric=log_metric))
        assert rewards == [0.0, 0.0, 1.0, 1.0, 1.0]
        assert verify.counts()["math/correct"] == 3
        assert verify.counts()["math/wrong"] == 1
        assert function.measured.overlap == logged["reward_overlap"][0]
        assert 0 < function.measured.overlap <= 3 / 5
        assert function.measured.seconds == {"math": logged["reward_seconds/math"][0]}
        assert asyncio.run(function(["given up"], ["m"], log_metric=log_metric)) == [0.0]  # forgotten, so asked anew
        assert function.measured.overlap is None
        assert len(logged["reward_overlap"]) == 1


@linux
@ends_early
def test_a_rollout_that_is_given_up_ends_what_was_started_ahead():
    with Verifiers(SETTINGS) as verify:
        function = VerifiedReward([CODE], verify)
        for _ in range(3):
            function.ahead("c", FOREVER)
        function.drop_ahead()
        assert asyncio.run(function([GOOD], ["c"])) == [1.0]


def test_a_plain_function_verifies_when_it_is_called():
    function = VerifiedReward([MATH], lambda pairs: [Verdict("correct", 1.0)] * len(pairs))
    function.ahead("m", "x")
    assert asyncio.run(function(["x"], ["m"])) == [1.0]
