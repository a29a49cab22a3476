"""Pairs for a reward model from responses that a server may have withheld."""

import pytest

from ringlite_cli.data.pairs import Pairs
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.reward_model import PairRule
from ringlite_cli.recipe.schema import Rewards
from ringlite_cli.samples import FILTERED
from ringlite_cli.stages.parts.made_pairs import NO_RESPONSE, _add


@pytest.mark.parametrize("rule", ["verifier", "first", "longer", "shorter"])
def test_a_response_that_a_filter_cut_is_no_side_of_a_pair(rule: PairRule) -> None:
    """The cut half of a response was the worse side, or the shorter one."""
    whole = {"response": "It is 4, for 2 + 2 is.", "tokens": 9, "verdict": "correct", "reward": 1.0}
    whole["thought_opened"] = ""
    cut = whole | {"response": "It", "tokens": 1, "verdict": FILTERED, "reward": 0.0}
    found = Pairs()
    _add(found, Problem("p", "math", "2 + 2?", "4"), whole, cut, rule, Rewards())
    assert not found.pairs
    assert dict(found.left_out) == {NO_RESPONSE: 1}
