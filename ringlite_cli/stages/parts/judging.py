"""What a stage's judge took, told with the stage's result."""

from dataclasses import replace

from ringlite_cli.stages.base import Context, StageResult


def with_judge(context: Context, result: StageResult) -> StageResult:
    """Return a stage's result with what its judge took, over all ranks and sessions, in its summary."""
    from ringlite_cli.rewards.judge_account import account_of, in_words
    from ringlite_cli.rewards.settings import judge_limits

    account = account_of(context.folder, judge_limits(context.recipe.rewards))
    return replace(result, summary=f"{result.summary}; {in_words(account)}") if account else result
