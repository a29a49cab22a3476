"""The rule reward_gap: training reward that rises while the held-out score falls beyond its interval, and no other."""

import json

import pytest

from ringlite_cli.evals.metrics import paired_difference
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.train.guard.rules import Watch

CALM = {"reward": 0.4, "entropy": 0.3, "grad_norm": 1.0, "response_tokens_mean": 50.0, "truncated_fraction": 0.0}
HELD = {"data": "curate.eval", "every": 2, "problems": 32}


def paired(before, after, level):
    return paired_difference(before, after, level=level)


def watch(**rule):
    return Watch(Guard.model_validate({"window": 2, "held_out": HELD, "reward_gap": rule}), paired)


def scores(right, of=32, failed=0):
    return {"math": [1.0] * right + [0.0] * (of - right - failed) + [None] * failed}


def row(general, math=0.5):
    return CALM | {"reward_by_domain": {"general": general, "math": math}}


def said(seen, watching, start=1):
    """seen: (training reward of general, held-out scores or None) of each step."""
    return [
        (alarm.step, alarm.rule, alarm.words)
        for step, (general, held) in enumerate(seen, start)
        for alarm in watching.see(step, row(general), held)
    ]


HACKED = [(0.3, None), (0.3, scores(24)), (0.5, None), (0.6, scores(8))]


def test_a_reward_that_rises_while_what_is_held_out_falls_is_told_with_both_numbers():
    ((step, rule, words),) = said(HACKED, watch())
    assert (step, rule) == (4, "reward_gap")
    mean, (low, high) = paired([1.0] * 24 + [0.0] * 8, [1.0] * 8 + [0.0] * 24, 0.95)
    assert mean == -0.5
    assert words == (
        "since step 2 the training reward of general has risen from 0.300 to 0.550, and the held-out score of math has "
        f"fallen from 0.750 to 0.250 (95% interval of the change {low:+.3f} to {high:+.3f}, 32 problems)"
    )


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ([(0.3, None), (0.3, scores(24)), (0.2, None), (0.2, scores(8))], "the reward falls too: no gap"),
        ([(0.3, None), (0.3, scores(24)), (0.5, None), (0.6, scores(23))], "one problem of 32 is within the interval"),
        ([(0.3, None), (0.3, scores(8)), (0.5, None), (0.6, scores(24))], "both rise"),
        ([(0.3, scores(24)), (0.5, None), (0.6, None), (0.7, None)], "nothing is measured again"),
        ([(0.3, None), (0.3, scores(2, 2)), (0.5, None), (0.6, scores(0, 2))], "two problems show nothing"),
        ([(0.3, None), (0.3, scores(24)), (0.5, None), (0.6, scores(0, failed=32))], "the verifier failed at all"),
    ],
)
def test_it_is_silent_where(seen, why):
    assert said(seen, watch()) == [], why


def test_problems_whose_verifier_failed_count_in_neither_measurement():
    seen = [*HACKED[:3], (0.6, scores(8, failed=24))]  # the eight that are left were right before, too
    assert said(seen, watch()) == []


def test_it_looks_back_to_the_best_measurement_and_not_to_the_first():
    seen = [(0.2, scores(10)), (0.3, scores(28)), (0.4, None), (0.5, scores(10))]
    ((step, _, words),) = said(seen, watch())
    assert step == 4
    assert "since step 2" in words


def test_it_speaks_once_for_a_fall_that_lasts_and_again_after_it_held():
    again = [(0.7, None), (0.7, scores(7)), (0.7, scores(24)), (0.8, scores(6))]
    assert [step for step, *_ in said([*HACKED, *again], watch())] == [4, 8]


def test_a_wider_interval_asks_for_more():
    seen = [(0.3, None), (0.3, scores(24)), (0.5, None), (0.6, scores(17))]
    assert [rule for _, rule, _ in said(seen, watch(confidence=0.95))] == ["reward_gap"]
    assert said(seen, watch(confidence=0.9999)) == []


def test_it_goes_on_from_its_state_as_a_checkpoint_keeps_it():
    seen = [*HACKED, (0.7, None), (0.7, scores(7)), (0.7, scores(24)), (0.8, scores(6))]
    whole = said(seen, watch())
    for cut in range(1, len(seen)):
        first, second = watch(), watch()
        before = said(seen[:cut], first)
        second.restore(json.loads(json.dumps(first.state())))
        assert before + said(seen[cut:], second, cut + 1) == whole


@pytest.mark.parametrize("right", [{"right": 0, "of": 32}, {"right": 0, "of": 8}])
def test_other_problems_after_a_resume_are_not_compared_with_those_before(right, caplog):
    """Another number of them ended in a traceback; other problems of the same number were compared pair by pair."""
    guard = Guard.model_validate({"window": 2, "held_out": HELD})
    first, second = Watch(guard, paired, "these"), Watch(guard, paired, "others")
    said(HACKED[:3], first)
    second.restore(json.loads(json.dumps(first.state())))
    assert "the held-out problems are others now" in caplog.text
    assert said([(0.6, scores(**right))], second, 4) == []


def test_a_state_of_before_there_was_the_rule_is_taken_up():
    second = watch()
    second.restore(Watch(Guard(window=2)).state())
    assert [step for step, *_ in said(HACKED, second)] == [4]


def test_without_anything_held_out_nothing_is_looked_at():
    silent = Watch(Guard(window=2))
    assert said([(0.3, None), (0.9, None)], silent) == []
    assert "gap" not in silent.state()
    null = Watch(Guard.model_validate({"window": 2, "held_out": HELD, "reward_gap": None}), paired)
    assert said(HACKED, null) == []
