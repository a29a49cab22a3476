"""Scores recounted: changed gold answers, intervals, refused and uncounted responses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.evals.evaluate import describe, evaluate, score
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.runs.signal import cause_and_cure
from ringlite_cli.samples import FILTERED, TOO_LONG, Request, SampledResponse, SamplingSettings

DRAWN: list[str] = []


class Fours:
    """Answers 4 to everything."""

    def __init__(self, path: Any, settings: SamplingSettings) -> None:
        self.settings = settings

    def sample(self, requests: Sequence[Request], on_done: Any = None, progress: Any = None) -> Any:
        DRAWN.extend(request.problem_id for request in requests)
        for r in requests:
            on_done(r, [SampledResponse(r.problem_id, i, "\\boxed{4}", (1, 2), 3, False) for i in r.indices])

    def prompt_ids(self, request: Request) -> list[int]:
        return [1]

    def close(self) -> None:
        pass


def verify(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    return [Verdict("correct" if f"{{{p.answer}}}" in text else "wrong", float(f"{{{p.answer}}}" in text))
            for p, text in pairs]  # fmt: skip


def test_a_mended_gold_answer_is_verified_again_and_nothing_is_drawn_for_it(tmp_path: Path) -> None:
    DRAWN.clear()
    for gold, expected in (("5", 0.5), ("4", 1.0)):
        problems = [Problem("a", "math", "2+2", gold), Problem("b", "math", "1+3", "4")]
        scores = evaluate({"m": "x"}, {"t": problems}, Fours, verify, tmp_path, EvalSettings(num_generations=2))
        assert scores["m"]["t"]["avg@k"] == expected
    assert DRAWN == ["t/a", "t/b"]
    assert [row["reward"] for row in read_jsonl(tmp_path / "responses.jsonl")] == [1.0] * 4
    evaluate({"m": "x"}, {"t": problems}, Fours, lambda _: pytest.fail("verified"), tmp_path,
             EvalSettings(num_generations=2))  # fmt: skip


def row(name: str, reward: float = 0.0, **more: Any) -> dict[str, Any]:
    verdict = "correct" if reward else "wrong"
    return {"id": name, "domain": "math", "verdict": verdict, "reward": reward, "response": "4", "tokens": 10,
            "truncated": False, "revision": 3} | more  # fmt: skip


def test_an_interval_does_not_follow_the_order_of_the_rows() -> None:
    groups = [[row(f"p{n}", (n * n % 11) / 11)] for n in range(9)]
    told = score(groups, seed=17)
    assert score(groups[::-1], seed=17) == told
    assert score(groups, seed=18)["ci95"] != told["ci95"]


def test_lengths_are_those_of_responses_that_came_and_were_counted() -> None:
    groups = [
        [row("long", verdict=TOO_LONG, response="", tokens=0)],
        [row("kept", 1.0, truncated=True)],
        [row("uncounted", tokens=0)],
        [row("filtered", verdict=FILTERED, response="", tokens=0)],
        [row("failed", verdict="sandbox error", tokens=20)],
    ]
    told = score(groups)
    assert (told["avg@k"], told["n"], told["tokens"]) == (0.2, 5, 30)
    assert told["response_tokens_mean"] == 15.0
    assert told["truncated_fraction"] == pytest.approx(1 / 3)
    assert [note[:32] for note in told["notes"]] == [
        "prompts without room for a respo", "responses that the server's cont", "responses without a verdict (an ",
        "the server did not count the tok", "33% of the responses were cut at",
    ]  # fmt: skip
    assert "notes" not in score([[row("a choice by likelihood", tokens=0, task="lm-eval:mmlu")]])
    unknown = score([[row("uncounted", tokens=0)]])
    assert unknown["response_tokens_mean"] is None
    assert "tokens not counted" in describe(unknown)
    assert json.dumps(unknown)


def test_a_candidate_without_a_counted_token_has_an_error_and_the_entropy_is_that_of_responses() -> None:
    from ringlite_cli.errors import UserError
    from ringlite_cli.evals.measure import _measured
    from ringlite_cli.evals.pick import Candidate

    came = [row("a", 1.0, entropy=0.5), row("a", tokens=30, entropy=0.1)]
    filtered = [row("b", verdict=FILTERED, tokens=40, entropy=0.0), row("b", entropy=1.0)]
    found = _measured(Candidate("c", "."), [came, filtered], 0)
    assert found.entropy == pytest.approx((10 * 0.5 + 30 * 0.1 + 10 * 1.0) / 50)
    assert found.pass_1 == 0.25
    with pytest.raises(UserError, match="no problem has a response whose tokens are known"):
        _measured(Candidate("c", "."), [[row("a", verdict=TOO_LONG, response="", tokens=0, entropy=0.0)]], 0)


def test_two_problems_of_one_id_are_refused_before_a_checkpoint_is_measured(tmp_path: Path) -> None:
    """The second's verdicts counted for both."""
    from ringlite_cli.errors import UserError
    from ringlite_cli.evals.measure import measure_candidates

    twice = [Problem("a", "math", "2+2", "4"), Problem("a", "math", "2+3", "5")]
    with pytest.raises(UserError, match="1 problem ids occur more than once, such as 'a'"):
        measure_candidates([{"name": "c"}], tmp_path, twice, Fours, verify, tmp_path, k=1, max_completion_length=8)


def test_what_is_not_all_is_not_told_as_all() -> None:
    told = {"ci95": [0.99, 1.0], "k": 2, "avg@k": 0.9996, "n": 5000, "response_tokens_mean": 40.0}
    assert "avg@2 99.96 % [" in describe(told | {"truncated_fraction": 0.996})
    assert "(99.6% cut)" in describe(told | {"truncated_fraction": 0.996})
    assert cause_and_cure([{"unparsed": 0.996}])[0] == "no answer is found in 99.6% of the responses"
    assert cause_and_cure([{"reward": 0.996}])[0] == "the responses are right already (reward 0.996)"
