"""The fields read from TRL's sources are the fields of TRL's dataclasses."""

import dataclasses

import pytest

from ringlite_cli.recipe.trl_fields import DERIVED, check_trl, trl_fields


@pytest.mark.parametrize("name", ["SFTConfig", "GRPOConfig"])
def test_fields_are_those_of_the_installed_dataclass(name: str) -> None:
    import trl

    assert set(trl_fields(name)) == {f.name for f in dataclasses.fields(getattr(trl, name))}
    assert DERIVED[name].keys() <= trl_fields(name).keys()


def test_values_are_coerced_as_their_fields_say() -> None:
    values, faults = check_trl({"learning_rate": "3e-4", "max_steps": "5", "report_to": "none"}, "GRPOConfig")
    assert values == {"learning_rate": 3e-4, "max_steps": 5, "report_to": "none"}
    assert faults == []


def test_a_wrong_value_is_a_fault_and_not_passed_on() -> None:
    values, faults = check_trl({"max_steps": 1.5, "num_generations": [1]}, "GRPOConfig")
    assert values == {}
    assert len(faults) == 2
