"""Numbers of a recipe: truth values, NaN, infinities and what nothing can count with are refused before a run."""

import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.recipe.schema import STAGE_SECTIONS, RecipeHead
from ringlite_cli.recipe.section import Section
from ringlite_cli.recipe.trl_fields import check_trl
from ringlite_cli.stages.walk.identity import identity

RL = {
    "prompts_per_step": 4,
    "token_budget": 64,
    "row_tokens": 64,
    "trl": {"max_steps": 2, "num_generations": 4, "max_completion_length": 16},
}


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def sections(annotation: Any) -> set[type[Section]]:
    return {part for part in parts(annotation) if isinstance(part, type) and issubclass(part, Section)}


def all_sections() -> list[type[Section]]:
    found: set[type[Section]] = set()
    left = {RecipeHead, *STAGE_SECTIONS.values()}
    while left:
        found.add(section := left.pop())
        for key in section.model_fields.values():
            left |= sections(key.annotation) - found
    return sorted(found, key=lambda section: section.__name__)


def number_keys() -> list[tuple[type[Section], str]]:
    """Keys that are a number, or nothing."""
    return [
        (section, name)
        for section in all_sections()
        for name, key in section.model_fields.items()
        if set(parts(key.annotation)) & {int, float} and {*get_args(key.annotation)} <= {int, float, type(None)}
    ]


@pytest.mark.parametrize(("section", "name"), number_keys(), ids=lambda part: getattr(part, "__name__", part))
def test_a_key_that_is_a_number_takes_nothing_that_is_none(section: type[Section], name: str) -> None:
    for value in (True, False, math.nan, math.inf, -math.inf, "many", [2], {"a": 2}, 10**30):
        whole = int in parts(section.model_fields[name].annotation)
        if value == 10**30 and not whole:
            continue
        with pytest.raises(RecipeErrors) as refused:
            section.made(**{name: value})
        assert any(fault.startswith(f"{name}") for fault in refused.value.faults), (value, refused.value.faults)


def test_there_are_many_such_keys() -> None:
    assert len(number_keys()) > 60


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"rollouts": {"mode": "carry", "in_flight": 1e9}}, "rollouts.in_flight: 1000000000 responses would be under"),
        ({"rollouts": {"mode": "carry", "in_flight": 2.5}}, "rollouts.in_flight: a whole number is needed, not 2.5"),
        ({"rollouts": {"mode": "carry", "in_flight": True}}, "rollouts.in_flight: a number is needed, not true"),
        ({"rollouts": {"mode": "carry", "max_retention": 0}}, "rollouts.max_retention: input should be greater than 0"),
        ({"prompts_per_step": 1e9}, "prompts_per_step: 4000000000 responses would be under way"),
        ({"mismatch": {"rule": "icepop", "high": math.inf}}, "mismatch.high: input should be a finite number, not inf"),
        ({"domain_mix": {"math": True}}, "domain_mix: a number is needed, not true or false"),
        ({"engine_timeout": 1e12}, "engine_timeout: input should be less than or equal to 1000000000"),
        ({"trl": {**RL["trl"], "max_steps": True}}, "trl: max_steps: a number is needed, not true"),
        ({"trl": {**RL["trl"], "entropy_coef": math.nan}}, "trl: entropy_coef = nan: it must be a finite number"),
        ({"trl": {**RL["trl"], "max_steps": 10**27}}, "trl: max_steps = 1000000000000000000000000000: it must be"),
    ],
)  # fmt: skip
def test_what_is_no_number_that_rl_can_count_with_is_named(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeErrors) as refused:
        RlSettings.made(**{**RL, **keys}).check()
    assert said in str(refused.value)


def test_whole_numbers_may_be_written_as_floats() -> None:
    settings = RlSettings.made(**RL | {"rollouts": {"mode": "carry", "in_flight": 1e3}})
    assert settings.rollouts.in_flight == 1000
    assert isinstance(settings.rollouts.in_flight, int)
    settings.check()


def test_a_gradient_that_is_never_cut_is_the_same_in_a_manifest() -> None:
    """JSON has no infinity: the manifest says null."""
    assert check_trl({"max_grad_norm": math.inf}, "GRPOConfig") == ({"max_grad_norm": math.inf}, [])
    known = [
        identity("rl", RlSettings.made(**{**RL, "trl": {**RL["trl"], "max_grad_norm": norm}}), {}, 0, {}).fingerprint
        for norm in (math.inf, None, 2.0)
    ]
    assert known[0] == known[1] != known[2]
