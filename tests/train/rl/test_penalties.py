"""Penalties of length and repetition: values worked out by hand, in English, Chinese, code and nothing at all."""

import pytest

from ringlite_cli.recipe.composition import LengthPenalty, RepetitionPenalty
from ringlite_cli.repetition import repeated_share, words_of
from ringlite_cli.train.rl.penalties import length_loss, repetition_loss


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n\t", []),
        ("The cat's 2nd mat.", ["the", "cat", "'", "s", "2nd", "mat", "."]),
        ("重复重复 ok", ["重", "复", "重", "复", "ok"]),
        ("カナ漢字kana", ["カ", "ナ", "漢", "字", "kana"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("x+=1;", ["x", "+", "=", "1", ";"]),
        ("𠀀𠀁", ["𠀀", "𠀁"]),
    ],
)
def test_words_are_runs_of_letters_single_characters_of_chinese_and_japanese_and_signs(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("words", "reference", "lost"),
    [
        (0, None, 0.0),
        (100, None, 0.0),
        (110, None, 0.1),  # 10 of the span's 50 words: a fifth of 0.5
        (150, None, 0.5),
        (9_999, None, 0.5),
        (25, "ten words of a reference that it is measured by", 0.05),  # 2 x 10 = 20, and 5 beyond: a tenth of 0.5
        (20, "ten words of a reference that it is measured by", 0.0),
        (25, "", 0.0),  # no reference: `words` holds
    ],
)
def test_length_costs_nothing_up_to_the_target_and_then_in_proportion(words, reference, lost):
    rule = LengthPenalty(words=100, span=50, reference=2.0)
    assert length_loss(["w"] * words, reference, rule) == pytest.approx(lost)


def test_a_reference_counts_where_the_recipe_says_so_alone():
    assert length_loss(["w"] * 90, "one", LengthPenalty(words=100, span=50)) == 0.0


@pytest.mark.parametrize(
    ("text", "ngram", "window", "share"),
    [
        ("", 2, None, 0.0),
        ("one", 2, None, 0.0),
        ("a b c d", 2, None, 0.0),
        ("a b a b a", 2, None, 2 / 4),  # ab ba ab ba: the third and the fourth
        ("a a a a a", 1, None, 4 / 5),
        ("重复重复重复", 2, None, 3 / 5),  # 重复 复重 重复 复重 重复
        ("x = 1 x = 1", 3, None, 1 / 4),  # x=1 =1x 1x= x=1
        ("a b c d e a b", 2, 5, 1 / 6),  # ab begins five words before
        ("a b c d e a b", 2, 4, 0.0),
        ("Yes. YES. yes.", 2, None, 3 / 5),  # yes. .yes yes. .yes yes.
    ],
)
def test_the_share_of_n_grams_that_stand_earlier_too(text, ngram, window, share):
    assert repeated_share(words_of(text), ngram, window) == pytest.approx(share)


@pytest.mark.parametrize(("share", "lost"), [(0.0, 0.0), (0.1, 0.0), (0.3, 0.2), (0.5, 0.4), (0.9, 0.4)])
def test_repetition_costs_in_proportion_between_free_and_full(share, lost):
    """Ten single words, of which the last ones repeat the first."""
    words = [str(n) for n in range(round(10 - 10 * share))] + ["0"] * round(10 * share)
    rule = RepetitionPenalty(ngram=1, free=0.1, full=0.5, most=0.4)
    assert repetition_loss(words, rule) == pytest.approx(lost)
