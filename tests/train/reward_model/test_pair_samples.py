"""Pairs as tokens: too long ones are left out or cut, and counted; what is equal then teaches nothing."""

import pytest
from reward_models import make_tokenizer

from ringlite_cli.errors import UserError
from ringlite_cli.train.reward_model.samples import EQUAL_ONCE_CUT, EQUAL_TOKENS, TOO_LONG, check_left_out, pair_samples

ASKED = [{"role": "user", "content": "why ?"}]
LONG = "so " * 20
PAIRS = [
    (ASKED, "good", "bad"),
    (ASKED, LONG + "good", LONG + "bad"),  # they differ behind the limit alone
    (ASKED, "good " + LONG, "bad"),
    (ASKED, "good", "good  "),  # other text, the same tokens
]


def test_pairs_that_do_not_fit_are_left_out_and_counted():
    made = pair_samples(make_tokenizer(), PAIRS, 16, truncate=False)
    assert (len(made), made.places, made.cut) == (1, [0], 0)
    assert made.left_out == {TOO_LONG: 2, EQUAL_TOKENS: 1}
    with pytest.raises(UserError, match="2 of 4 pairs would be left out as too long: a text may have 16 tokens"):
        check_left_out(made, 4, 16, 0.1, "stages.rm")
    check_left_out(made, 4, 16, 0.5, "stages.rm")


def test_cut_pairs_that_are_then_equal_are_left_out():
    made = pair_samples(make_tokenizer(), PAIRS, 16, truncate=True)
    assert (made.places, made.cut) == ([0, 2], 1)
    assert made.left_out == {EQUAL_ONCE_CUT: 1, EQUAL_TOKENS: 1}
    assert max(map(len, made.chosen)) == 16


def test_nothing_left_is_said():
    made = pair_samples(make_tokenizer(), PAIRS[1:2], 16, truncate=True)
    with pytest.raises(UserError, match=r"none of 1 pairs can be trained on \(1 equal but for what is cut off"):
        check_left_out(made, 1, 16, 0.9, "stages.rm")
