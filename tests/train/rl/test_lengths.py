"""Long responses: which are begun first, and what they lose."""

from pathlib import Path

import pytest
from rl_runs import rl
from tiny_lm import save_policy

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.rollouts import Overlong
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.lengths import LengthHistory, penalty


def test_the_penalty_is_daposs_at_each_bound() -> None:
    """Of 100 tokens with a buffer of 20: nothing up to 80, half at 90, all at 100 and past it."""
    overlong = Overlong(rule="penalty", buffer=20)
    assert [penalty(n, 100, overlong) for n in (0, 80, 85, 90, 100, 120)] == [0.0, 0.0, -0.25, -0.5, -1.0, -1.0]
    assert penalty(100, 100, Overlong()) == 0.0


def test_prompts_are_sorted_by_their_own_history_then_by_their_domain_s() -> None:
    history = LengthHistory()
    rows = [{"problem_id": name, "domain": domain} for name, domain in (("a", "math"), ("b", "code"), ("new", "code"))]
    history.longest_first(rows)
    assert [row["problem_id"] for row in rows] == ["a", "b", "new"]
    history.note(["a", "a", "b", "b"], ["math", "math", "code", "code"], [10, 20, 5, 7])
    history.note(["c"], ["code"], [94])
    assert [history.expected(row) for row in rows] == [15.0, 6.0, 50.0]
    history.longest_first(rows)
    assert [row["problem_id"] for row in rows] == ["new", "a", "b"]
    other = LengthHistory()
    other.restore(history.state())
    assert [other.expected(row) for row in rows] == [50.0, 15.0, 6.0]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "llama", head_dim=32)


def only(policy: Path, out: Path, **options: object) -> tuple[dict, list[dict]]:
    rl(policy, out, steps=1, router_balance_coef=0.0, router_z_loss_coef=0.0, **options)
    return read_jsonl(out / "metrics.jsonl")[0], read_jsonl(out / "rollouts.jsonl")


@pytest.mark.slow
def test_a_penalty_moves_advantages_and_leaves_rewards_as_verdicts_gave_them(policy: Path, tmp_path: Path) -> None:
    plain, before = only(policy, tmp_path / "plain")
    less, after = only(policy, tmp_path / "penalty", overlong={"rule": "penalty", "buffer": 8})
    assert [row["reward"] for row in after] == [row["reward"] for row in before]
    assert plain["reward"] == less["reward"]
    lost = [penalty(row["tokens"], 12, Overlong(rule="penalty", buffer=8)) for row in after]
    assert less["overlong_penalty"] == pytest.approx(sum(lost) / len(lost))
    assert "overlong_penalty" not in plain
    for start in range(0, len(after), 4):
        group = [row["reward"] + penalty for row, penalty in zip(after[start : start + 4], lost[start:], strict=False)]
        mean = sum(group) / 4
        spread = (sum((each - mean) ** 2 for each in group) / 3) ** 0.5
        expected = [(each - mean) / (spread + 1e-4) for each in group]
        assert [row["advantage"] for row in after[start : start + 4]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_mask_leaves_truncated_responses_untrained_as_trl_s_field_does(policy: Path, tmp_path: Path) -> None:
    ours = only(policy, tmp_path / "ours", overlong={"rule": "mask"})[1]
    trls = only(policy, tmp_path / "trl", trl={"mask_truncated_completions": True})[1]
    assert ours == trls
    assert any(row["truncated"] for row in ours)
    assert all(row["tokens_kept"] == 0 for row in ours if row["truncated"])


def test_an_order_that_nothing_would_obey_is_refused(policy: Path, tmp_path: Path) -> None:
    """The trainer's own model draws all at once, and a rollout_func gets all at once."""
    with pytest.raises(UserError, match=r"rollouts\.order: the trainer's own model begins all responses of a step"):
        only(policy, tmp_path, rollouts={"order": "longest"})
    with pytest.raises(UserError, match=r"rollouts\.order: a rollout_func gets the prompts of a step together"):
        only(policy, tmp_path, rollouts={"order": "longest"}, rollout_func=lambda prompts, trainer: {})
    assert not list(tmp_path.iterdir())
