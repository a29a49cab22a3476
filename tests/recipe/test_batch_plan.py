import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.batch_plan import resolve_batch
from ringlite_cli.recipe.c3po import C3POSettings
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.recipe.schema import RlStage


def test_rows_are_as_few_as_keep_a_row_near_its_length():
    plan = resolve_batch(16, 8, 8192, 2048, mean_prompt_tokens=16.0)  # 8192 + 128 * 16 = 10,240 = 5 rows -> 8
    assert (plan.responses, plan.rows, plan.per_device_train_batch_size) == (128, 8, 16)
    assert (plan.gradient_accumulation_steps, plan.steps_per_generation) == (8, 8)
    assert plan.row_tokens_mean == 1280


def test_a_budget_per_rank_is_trained_by_every_rank():
    plan = resolve_batch(16, 8, 8192, 2048, 16.0, world_size=4, scope="rank")
    assert (plan.budget_rank, plan.budget_step) == (8192, 32768)
    shared = resolve_batch(16, 8, 8192, 2048, 16.0, world_size=4, scope="global")
    assert (shared.budget_rank, shared.budget_step) == (2048, 8192)


def test_a_budget_of_the_whole_step_holds_a_response_that_a_rank_s_share_would_not():
    plan = resolve_batch(8, 4, 150, 512, 9.5, world_size=4, max_completion_length=100, scope="global")
    assert (plan.budget_rank, plan.budget_step) == (38, 150)
    assert plan.row_tokens_bound == plan.row_tokens_mean + 10 + 100  # one rank may get that response whole
    with pytest.raises(UserError, match="a budget of 38 tokens is smaller than one response"):
        resolve_batch(8, 4, 38, 512, 9.5, world_size=4, max_completion_length=100, scope="rank")


def test_a_budget_is_a_rank_s_wherever_its_scope_is_not_given():
    """The paper's Phi. Recipe, settings and batch plan had defaults of their own once; C3POConfig has the settings'."""
    named = {model.model_fields["token_budget_scope"].default for model in (C3POSettings, RlSettings, RlStage)}
    assert named == {"rank"}
    assert resolve_batch(8, 4, 150, 512, 9.5, 4) == resolve_batch(8, 4, 150, 512, 9.5, 4, scope="rank")


@pytest.mark.parametrize("budget", [1, 1000, 10**9])
def test_an_algorithm_without_a_budget_gets_rows_that_hold_every_response(budget):
    plan = resolve_batch(8, 4, budget, 512, 10.0, max_completion_length=100, selects=False)
    assert plan.budget_step == 32 * 100
    assert plan.row_tokens_mean <= 512
    ranks = resolve_batch(8, 4, budget, 512, 10.0, 4, max_completion_length=100, selects=False, scope="rank")
    assert (ranks.budget_rank, ranks.budget_step) == (800, 3200)


def test_the_paper_s_numbers_fit():
    plan = resolve_batch(512, 16, 409_600, 32_768, 200, 256, scope="rank", max_completion_length=24_576)
    assert plan.budget_step == 256 * 409_600
    assert plan.rows == 16


@given(
    st.integers(1, 40), st.integers(2, 16), st.integers(1, 9000), st.integers(1, 4000), st.integers(1, 4),
    st.integers(1, 3),
)  # fmt: skip
def test_trl_gets_whole_generation_batches(prompts, group, budget, row, world, updates):
    if prompts * group % world:
        return
    plan = resolve_batch(prompts, group, budget, row, 7.0, world, updates_per_rollout=updates)
    per_rollout = plan.per_device_train_batch_size * world * plan.steps_per_generation
    assert per_rollout == prompts * group * updates
    assert plan.steps_per_generation == plan.gradient_accumulation_steps * updates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_generations": 1}, "num_generations: a group of 1 response has no advantage"),
        ({"token_budget": 0}, "token_budget: must be a positive number"),
        ({"prompts_per_step": 0}, "prompts_per_step: must be a positive number"),
        ({"world_size": 3}, "cannot be shared evenly by 3 ranks"),
        ({"token_budget": 100_000}, "can never be filled: 32 responses of at most 100 tokens hold 3200"),
        ({"token_budget": 99}, "smaller than one response of max_completion_length 100"),
        ({"row_tokens": 109}, r"cannot hold the longest sample \(110 tokens with its prompt\)"),
    ],
)
def test_numbers_that_cannot_work_together_are_refused(change, message):
    numbers = {
        "prompts_per_step": 8,
        "num_generations": 4,
        "token_budget": 1000,
        "row_tokens": 512,
        "mean_prompt_tokens": 9.5,
        "max_completion_length": 100,
    }
    assert resolve_batch(**numbers).budget_step == 1000
    with pytest.raises(UserError, match=message):
        resolve_batch(**(numbers | change))
