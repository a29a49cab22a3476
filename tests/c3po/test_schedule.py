import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlite_cli.c3po.schedule import Budget, BudgetSchedule
from ringlite_cli.errors import UserError


def test_constant_never_moves():
    budget = Budget(BudgetSchedule(1000))
    assert [budget.move(step, 50.0 + 50 * step, 1.0) for step in range(5)] == [1000] * 5
    assert budget.change == ""


def test_linear_arrives_and_stays():
    budget = Budget(BudgetSchedule(1000, "linear", 3000, 4))
    assert [budget.move(step, None, 0.0) for step in range(6)] == [1000, 1500, 2000, 2500, 3000, 3000]
    assert Budget(BudgetSchedule(1000, "linear", 3000, 4)).move(2, None, 0.0) == 2000


def test_adaptive_follows_the_informative_length_beyond_its_dead_band():
    """First length 100; running mean 0.5 old + 0.5 new: 100, 104, 127 -> within 10 %, then 1,270; capped at 1,500."""
    budget = Budget(BudgetSchedule(1000, "adaptive", 1500, dead_band=0.1, memory=0.5))
    assert [budget.move(0, 100.0, 0.5), budget.move(1, 108.0, 0.5), budget.move(2, 150.0, 0.5)] == [1000, 1000, 1270]
    assert budget.change == "1000 -> 1270: informative responses have 127 tokens, the first had 100"
    assert budget.move(3, 900.0, 0.5) == 1500
    assert budget.move(4, None, 0.0) == 1500


def test_adaptive_does_not_grow_while_the_reward_is_below_its_first():
    budget = Budget(BudgetSchedule(1000, "adaptive", 4000, memory=0.0))
    assert [budget.move(0, 100.0, 0.5), budget.move(1, 300.0, 0.4), budget.move(2, 300.0, 0.5)] == [1000, 1000, 3000]
    assert budget.move(3, 150.0, 0.1) == 1500  # it shrinks all the same


@given(st.lists(st.tuples(st.none() | st.floats(1, 1e5), st.floats(0, 1)), max_size=30), st.integers(0, 29))
def test_adaptive_stays_within_its_bounds_and_resumes_exactly(rollouts, stop):
    schedule = BudgetSchedule(1000, "adaptive", 2000)
    whole, resumed = Budget(schedule), Budget(schedule)
    for step, (length, reward) in enumerate(rollouts):
        if step == stop:
            saved, resumed = resumed.state(), Budget(schedule)
            resumed.restore(saved)
        assert 1000 <= whole.move(step, length, reward) <= 2000
        assert resumed.move(step, length, reward) == whole.tokens
        assert resumed.change == whole.change


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (BudgetSchedule(30), 30),  # 60 went on, though the recipe said 30
        (BudgetSchedule(90), 90),
        (BudgetSchedule(30, "adaptive", 50), 50),
        (BudgetSchedule(30, "linear", 90, 10), 60),  # half of the way from 30 to 90
        (BudgetSchedule(60), 60),
    ],
)
def test_a_budget_that_is_another_after_a_resume_holds_at_once(schedule, expected):
    before, after = Budget(BudgetSchedule(60)), Budget(schedule)
    after.restore(before.state())
    assert after.tokens == expected
    assert after.move(5, None, 0.0) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1000, "cosine"), "budget_schedule: 'cosine' is not one of"),
        ((1000, "adaptive"), "token_budget_end: a adaptive budget needs an end of 1000"),
        ((1000, "linear", 999, 5), "token_budget_end: .* not 999"),
        ((1000, "linear", 2000), "budget_steps: a linear budget needs"),
        ((1000, "adaptive", 2000, 0, 1.0), "budget_dead_band: must be 0 or more and less than 1"),
    ],
)
def test_schedules_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        BudgetSchedule(*arguments)
