"""What prompt sources and rollout functions of the user's own give is checked where it comes in, and named."""

from pathlib import Path
from typing import Any

import pytest
from carry_runs import words
from rl_runs import rl
from tiny_lm import save_policy

from ringlite_cli.errors import UserError
from ringlite_cli.train.rl.prompts import drawn

ROUTER_OFF = {"router_balance_coef": 0.0, "router_z_loss_coef": 0.0}


class Source:
    """Gives `given` prompts, whatever it is asked for."""

    draws_all = True

    def __init__(self, given: int) -> None:
        self._given = given

    def draw(self, count: int) -> list[dict[str, Any]]:
        return [{"prompt": "w1", "problem_id": str(place)} for place in range(self._given)]

    def state(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("given", [0, 3, 5])
def test_a_source_gives_as_many_prompts_as_it_is_asked_for(given: int) -> None:
    """With none a run ended in a traceback, with fewer or more its steps were smaller or larger without a word."""
    said = rf"sampling: the prompt source gave {given} prompts where 4 were asked for; have draw\(count\) return"
    with pytest.raises(UserError, match=said):
        drawn(Source(given), 4)
    assert len(drawn(Source(4), 4)) == 4


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "llama", head_dim=32)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [{}, {"rollouts": {"mode": "carry"}, "rollout_func": words(lambda name: 3)}])
def test_rollouts_of_both_modes_ask_it(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    monkeypatch.setattr("ringlite_cli.train.rl.run.source_of", lambda *_: Source(2))
    with pytest.raises(UserError, match="gave 2 prompts where 4 were asked for"):
        rl(policy, tmp_path, steps=1, **ROUTER_OFF, **keys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            None,
            "rollout_func: it returns NoneType, and a mapping with prompt_ids, completion_ids and logprobs is needed",
        ),
        ({"completion_ids": [[3]] * 16}, "rollout_func: prompt_ids and logprobs are missing in what it returns"),
        (
            {"completion_ids": [[3]] * 15, "prompt_ids": [[1]] * 16, "logprobs": None},
            "15 completion_ids for 16 prompts",
        ),
        ({"completion_ids": [[3]] * 16, "prompt_ids": [[1]], "logprobs": None}, "1 prompt_ids for 16 prompts"),
        ({"completion_ids": [[3]] * 15 + [[]], "prompt_ids": [[1]] * 16, "logprobs": None}, "response 15 has no token"),
        (
            {"completion_ids": [[3, 4]] * 16, "prompt_ids": [[1]] * 16, "logprobs": [[-1.0]] * 16},
            "response 0 has 2 tokens and 1 logprobs",
        ),
    ],
)
def test_a_rollout_func_that_returns_what_is_no_rollout_is_told(
    policy: Path, tmp_path: Path, answer: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rl(policy, tmp_path, steps=1, rollout_func=lambda prompts, trainer: answer, **ROUTER_OFF)
