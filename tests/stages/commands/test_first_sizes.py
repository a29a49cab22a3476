"""The numbers of a first recipe: they fit the file and the model, whatever either is."""

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import RlStage
from ringlite_cli.stages.commands.first.lengths import Lengths, check_room, measure, quantile, spread
from ringlite_cli.stages.commands.first.sizes import make_sizes, shares
from ringlite_cli.stages.commands.first.text import _shorten_warm_up, flow


def rl_of(name: str) -> RlStage:
    return next(s for s in load_recipe(name).stages.values() if isinstance(s, RlStage))


def lengths(prompt: int, trace: int | None, rows: int = 60) -> Lengths:
    found = Lengths()
    for n in range(rows):
        found.add(Problem(str(n), "math", ""), prompt + n % 7, None if trace is None else trace + n % 5)
    return found


@pytest.mark.parametrize("rows", [10, 60, 199, 200, 1999, 2000, 100_000])
def test_every_split_gets_problems(rows: int) -> None:
    found = shares(rows)
    assert sum(found.values()) == pytest.approx(1)
    assert min(round(share * rows) for share in found.values()) >= 1
    assert round(found["eval"] * rows) >= min(rows // 6, 190)


@pytest.mark.parametrize("name", ["smollm2-gsm8k", "demo", "qwen3-1.7b", "ring-lite"])
@pytest.mark.parametrize("trace", [None, 20, 900])
@pytest.mark.parametrize("positions", [None, 256, 2048])
@pytest.mark.parametrize("train", [5, 36, 5000])
def test_the_numbers_go_together(name: str, trace: int | None, positions: int | None, train: int) -> None:
    """What `ringlite check` asks of an RL stage's budget, and what the model's context has room for."""
    rl = rl_of(name)
    found = make_sizes(lengths(60, trace), positions, 10**8, train, rl, fallback=256)
    made = rl.model_copy(
        update={
            "prompts_per_step": found.prompts_per_step,
            "token_budget": found.token_budget,
            "token_budget_scope": "global",
            "row_tokens": None,
            "trl": {
                "max_steps": found.max_steps,
                "num_generations": found.responses,
                "max_completion_length": found.max_completion_length,
            },
        }
    )
    assert made.faults() == []
    assert 1 <= found.prompts_per_step <= train
    longest = max(60 + 6, 0) + found.max_completion_length
    assert positions is None or longest <= positions
    assert positions is None or found.max_length <= positions
    if trace == 20:
        assert found.max_completion_length >= 24  # no worked trace would be cut
        assert found.max_length >= 66 + 24


def test_prompts_longer_than_the_context_are_counted_or_refused() -> None:
    some = lengths(100, None)
    some.add(Problem("long", "math", ""), 9000, None)
    assert "1 of 61 prompts fill the model's context of 2,048 tokens" in check_room(some, 2048)[0]
    assert "the longest: long, 9,000 tokens" in check_room(some, 2048)[0]
    assert check_room(some, None) == []
    with pytest.raises(UserError, match="every prompt is longer than the model's context of 64 tokens"):
        check_room(some, 64)
    assert "traces do not fit it with their prompts" in check_room(lengths(100, 200), 256)[0]


def test_lengths_without_a_tokenizer_are_guesses() -> None:
    problem = Problem("a", "math", "x" * 350, trace="y" * 70)
    found = measure([problem], None, {})
    assert found.guessed
    assert 90 <= found.prompts[0] <= 130
    assert 15 <= found.traces[0] <= 30


def test_a_short_run_is_not_all_warm_up() -> None:
    trl = {"warmup_steps": 30}
    _shorten_warm_up(trl, 27)
    assert trl == {"warmup_steps": 2}
    _shorten_warm_up(trl, 1000)
    assert trl == {"warmup_steps": 2}


def test_spreads_in_words() -> None:
    assert quantile([], 0.5) == 0
    assert quantile(list(range(100)), 0.95) == 95
    assert spread([]) == "none"
    assert spread([3, 1, 2]) == "1 to 3 (median 2, 95 % up to 3)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "1e-4"), (3e-6, "3e-6"), (0.25, "0.25"), (2.0, "2"), (True, "true"), ("a b", "a b"), ("yes", "'yes'"),
        ({"a": [1, "x: y"]}, "{a: [1, 'x: y']}"), (r"in \boxed{}.", r"'in \boxed{}.'"), (None, "null"),
    ],
)  # fmt: skip
def test_values_as_yaml(value: object, text: str) -> None:
    assert flow(value) == text
