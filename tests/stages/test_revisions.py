"""Results of the toy recipe that change without a new revision of their kind of stage are found."""

import copy

from golden_toy import GOLDEN, changed_kinds, differences

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_json
from ringlite_cli.stages.kinds import KINDS


def test_every_kind_of_the_toy_recipe_has_golden_results_of_its_revision() -> None:
    """The reward model's stage is none of them."""
    golden, kinds = read_json(GOLDEN), {stage.kind for stage in load_recipe("toy").stages.values()}
    assert golden.keys() == kinds == KINDS.keys() - {"reward-model"}
    assert {kind: found["revision"] for kind, found in golden.items()} == {n: KINDS[n].revision for n in kinds}


def test_a_changed_result_is_found_unless_its_revision_says_so() -> None:
    golden = read_json(GOLDEN)
    other = copy.deepcopy(golden)
    assert changed_kinds(golden, other) == {}
    other["sft"]["losses"][-1] *= 1.1
    assert list(changed_kinds(golden, other)) == ["sft"]
    other["sft"]["revision"] += 1
    assert changed_kinds(golden, other) == {}


def test_rounding_is_no_change() -> None:
    assert differences({"a": [1.0, 2]}, {"a": [1.001, 2]}) == []
    assert differences({"a": [1.0, 2]}, {"a": [1.0]}) == [".a: [1.0, 2] -> [1.0]"]
