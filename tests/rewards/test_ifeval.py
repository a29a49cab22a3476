"""Instruction checks say what lm-evaluation-harness's checker says, and take time in line with the response."""

import importlib.util
import json
from functools import partial
from pathlib import Path

import pytest
from long_texts import is_quick, repeated
from sweeps import sample_of

from ringlite_cli.rewards.english import count_capital_words, has_sentences, language_of
from ringlite_cli.rewards.instructions import CHECKS, MOST_CHARACTERS, verify_instructions

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "ifeval_agreement.py"
N = {"relation": "at least"}

RECORDED = [  # as the harness's strict checker says, version 0.4.13
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "**a**", False),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* b* c", False),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 3}, "*a*b*c*", False),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "***a*** *b*", True),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye. p. s. more", True),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye. P.S more", False),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye. P. P. S: more", True),
    ("combination:two_responses", {}, "******one******two******", True),
    ("combination:two_responses", {}, "one******  ******two", False),
    ("combination:two_responses", {}, "one*******two", True),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 1}, "See Section 1", True),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 1}, "section 1", False),
    ("detectable_format:title", {}, "x <<a>> y", True),
    ("detectable_format:title", {}, "<< >>", False),
    ("detectable_format:title", {}, "<<a\n>>", False),
    ("keywords:existence", {"keywords": ["cat"]}, "conCATenate", True),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "the CAT's", False),
    ("keywords:frequency", {"keyword": " cat ", "frequency": 2, **N}, "cat concatenate", True),
    ("length_constraints:number_words", {"num_words": 3, **N}, "don't go", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***a***b***", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a****** b", False),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[] [a [b]", True),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "---\n\n * a\n**b**", True),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "*\n* a", True),
    ("startend:quotation", {}, "“a”", False),
    ("punctuation:no_comma", {}, "一，二", True),
    ("length_constraints:number_sentences", {"num_sentences": 2, **N}, "Dr. Ray came at 9 p.m. on Jan. 5.", False),
]  # fmt: skip


def follows(name, arguments, response):
    return verify_instructions({"instruction_id_list": [name], "kwargs": [arguments]}, response).verdict == "correct"


@pytest.mark.parametrize(("name", "arguments", "response", "followed"), RECORDED)
def test_recorded_verdicts_of_the_harness(name, arguments, response, followed):
    assert follows(name, arguments, response) is followed


@pytest.mark.slow
def test_agreement_with_the_harness_on_a_sample():
    pytest.importorskip("lm_eval")
    pytest.importorskip("immutabledict")
    spec = importlib.util.spec_from_file_location("ifeval_agreement", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    left_out = () if benchmark.has_punkt() else benchmark.NEED_PUNKT
    assert set(benchmark.MAKERS) == set(CHECKS)
    differ = [
        row
        for row in benchmark.made_rows(1000, seed=1)
        if row[0] not in left_out and benchmark.harness_says(*row) != benchmark.ringlite_says(*row)
    ]
    assert differ == []


def test_a_keyword_is_text_and_no_pattern():
    assert follows("keywords:existence", {"keywords": ["C++", "(a|a)*"]}, "c++ (A|a)*")
    assert not follows("keywords:existence", {"keywords": ["C++"]}, "ccc")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("One. Two! Three?", 3),
        ("Mr. and Mrs. Lee live in St. Louis.", 1),
        ("It costs 3.50. That is cheap.", 2),
        ('He said "No." Then he left.', 2),
        ("J. K. Larsen wrote it. They read it.", 2),
        ("no full stop", 1),
    ],
)
def test_sentences(text, sentences):
    assert has_sentences(text, sentences)
    assert not has_sentences(text, sentences + 1)


@pytest.mark.parametrize("count", [4_999, 5_000, 5_001])
def test_sentences_of_a_long_text_are_all_counted(count):
    text = "Here is one. " * count
    assert has_sentences(text, count)
    assert not has_sentences(text, count + 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NASA and the ESA", 2),
        ("X-RAY", 1),
        ("I CAN'T", 3),
        ("A/B", 1),
        ("U.S. law", 1),
        ("12 a", 0),
        ("**BIG**, OK!", 2),
    ],
)
def test_capital_words(text, words):
    assert count_capital_words(text) == words


def test_a_language_is_the_same_each_time():
    text = "OK, the end"
    assert len({language_of(text) for _ in range(20)}) == 1
    assert language_of("12 + 3") is None


ARGUMENTS = {
    "keywords:existence": {"keywords": ["aaab", "**b"]},
    "keywords:forbidden_words": {"forbidden_words": ["aaab", "."]},
    "keywords:frequency": {"keyword": "aab", "frequency": 2, **N},
    "keywords:letter_frequency": {"letter": "a", "let_frequency": 2, "let_relation": "at least"},
    "language:response_language": {"language": "en"},
    "length_constraints:number_words": {"num_words": 5, **N},
    "length_constraints:number_sentences": {"num_sentences": 50, **N},
    "length_constraints:number_paragraphs": {"num_paragraphs": 3},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "a"},
    "detectable_content:number_placeholders": {"num_placeholders": 3},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 3},
    "detectable_format:number_highlighted_sections": {"num_highlights": 3},
    "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 3},
    "combination:repeat_prompt": {"prompt_to_repeat": "aaa"},
    "startend:end_checker": {"end_phrase": "aaa"},
    "change_case:capital_word_frequency": {"capital_frequency": 2, "capital_relation": "at least"},
}  # fmt: skip
UNITS = [
    "a", "A", " ", "\n", "\t\n", "*", "**a", "[", "[a", "<<", "<<a", ">>", ". ", ".)", "A.", "? ", "!", '"', "'' ",
    "p. ", "Section 1", "\n-", "{", "```", "a@", "http://a", "'a", ". .", "1.", "N'T ",
]  # fmt: skip


def asked(name):
    return json.dumps({"instruction_id_list": [name], "kwargs": [ARGUMENTS.get(name, {})]})


@pytest.mark.slow
@pytest.mark.parametrize("unit", [". ", "a. ", "... ", '." ', "p.m. ", "!"])
def test_counting_all_sentences_is_linear(unit):
    """The dearest unit takes half a second for 10,000 characters: 5 s here, and 50 s where it is quadratic."""
    assert is_quick(lambda text: has_sentences(text, 10**9), repeated(unit, 100_000), seconds=30)


@pytest.mark.slow
@pytest.mark.parametrize("unit", sample_of(UNITS, "a", " ", "\n", "**a", "[a", ". ", "!", "<<", "'a", ". ."))
def test_time_grows_with_the_response_and_not_with_its_square(unit):
    response = repeated(unit, MOST_CHARACTERS)
    assert [name for name in CHECKS if not is_quick(partial(verify_instructions, asked(name)), response)] == []


def test_a_response_without_end_follows_nothing() -> None:
    no_comma = asked("punctuation:no_comma")
    assert verify_instructions(no_comma, "a" * MOST_CHARACTERS).verdict == "correct"
    assert verify_instructions(no_comma, "a" * (MOST_CHARACTERS + 1)).verdict == "wrong"
