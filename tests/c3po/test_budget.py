import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlite_cli.c3po.budget import Pick, informative_groups, pick_tokens, pick_updates, seeded_order

LENGTHS = st.lists(st.integers(0, 60), min_size=1, max_size=40)


def test_the_last_response_is_truncated_at_the_budget():
    assert pick_tokens([5, 9, 4], budget=12, order=[2, 0, 1]) == [Pick(2, 4), Pick(0, 5), Pick(1, 3)]


def test_whole_keeps_the_last_response_as_eq_3_does():
    assert pick_tokens([5, 9, 4], budget=12, order=[2, 0, 1], cut="whole") == [Pick(2, 4), Pick(0, 5), Pick(1, 9)]


def test_a_short_batch_is_taken_entirely():
    assert pick_tokens([5, 9, 4], budget=100, order=[1, 2, 0]) == [Pick(1, 9), Pick(2, 4), Pick(0, 5)]


def test_an_empty_response_is_never_picked():
    assert pick_tokens([0, 3], budget=5, order=[0, 1]) == [Pick(1, 3)]


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="positive"):
        pick_tokens([1], budget=0, order=[0])


@given(LENGTHS, st.integers(1, 500), st.integers(0, 99))
def test_picked_tokens_sum_to_the_budget_exactly(lengths, budget, seed):
    order = seeded_order(range(len(lengths)), seed, 0)
    picks = pick_tokens(lengths, budget, order)
    assert sum(p.tokens for p in picks) == min(budget, sum(lengths))
    assert sum(p.tokens < lengths[p.index] for p in picks) <= 1
    assert len({p.index for p in picks}) == len(picks)


@given(LENGTHS, st.integers(1, 500), st.integers(0, 99))
def test_whole_is_the_shortest_prefix_that_reaches_the_budget(lengths, budget, seed):
    order = seeded_order(range(len(lengths)), seed, 0)
    picks = pick_tokens(lengths, budget, order, cut="whole")
    assert all(p.tokens == lengths[p.index] for p in picks)
    total = sum(p.tokens for p in picks)
    assert total == sum(lengths) if total < budget else total - picks[-1].tokens < budget


@given(LENGTHS, st.integers(1, 80), st.integers(1, 5))
def test_the_selections_of_several_updates_are_disjoint(lengths, budget, updates):
    selections = pick_updates(lengths, budget, range(len(lengths)), updates)
    picked = [p.index for picks in selections for p in picks]
    assert len(selections) == updates
    assert len(set(picked)) == len(picked)
    full = [sum(p.tokens for p in picks) == budget for picks in selections]
    assert full == sorted(full, reverse=True)  # only the last ones can be short


def test_the_order_depends_on_seed_and_step_alone():
    assert seeded_order(range(50), 17, 3) == seeded_order(range(50), 17, 3)
    assert seeded_order(range(50), 17, 3) != seeded_order(range(50), 17, 4)
    assert seeded_order(range(50), 17, 3) != seeded_order(range(50), 18, 3)
    assert sorted(seeded_order([4, 7, 9], 1, 1)) == [4, 7, 9]


def test_a_random_order_favours_no_length():
    """Half of all tokens fit: over many steps, half of the short and half of the long responses' tokens are trained."""
    lengths = [10] * 8 + [40] * 8
    trained = [0] * 16
    for step in range(4000):
        for pick in pick_tokens(lengths, 200, seeded_order(range(16), 0, step)):
            trained[pick.index] += pick.tokens
    assert sum(trained[:8]) / (8 * 10 * 4000) == pytest.approx(0.5, abs=0.01)
    assert sum(trained[8:]) / (8 * 40 * 4000) == pytest.approx(0.5, abs=0.01)


def test_a_group_is_informative_if_two_scored_rewards_differ():
    rewards = [1.0, 0.0, 1.0, 1.0, None, 1.0, None, None, 0.0, None]
    assert informative_groups(rewards, 2) == [True, False, False, False, False]
    assert informative_groups([1.0, 1.0, None, 0.0], 4) == [True]
