"""Reference answers: token F1 and ROUGE by hand-computed values, with several references, and with none that is one."""

import importlib.util
import json
import logging
from concurrent.futures import Future
from typing import Any

import pytest
from long_texts import is_quick, repeated

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict, is_right
from ringlite_cli.rewards import Verifiers, VerifierSettings, references
from ringlite_cli.rewards.pool import then
from ringlite_cli.rewards.references import spoken, token_f1, verify_token_f1, words
from ringlite_cli.rewards.verify_file import verify_file

needs_rouge = pytest.mark.skipif(not references.is_installed(), reason="rouge-score is not installed")


def problem(answer: Any, verifier: str = "token-f1") -> Problem:
    return Problem("p", "general", "?", answer if isinstance(answer, str) else json.dumps(answer), verifier=verifier)


@pytest.mark.parametrize(
    ("response", "reference", "score"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1.0),
        ("the tall Eiffel Tower in Paris", "Eiffel Tower", 2 * (2 / 5) * 1 / (2 / 5 + 1)),  # 2 of 5 words, 2 of 2
        ("8 May 1945", "7 May 1945", 2 / 3),
        ("1,000 km", "1000 km", 1.0),
        ("U.S. president", "US President", 1.0),
        ("cat cat cat", "cat dog", 2 * 1 / (3 + 2)),  # the reference has one cat
        ("Vitamin A", "A", 0.0),  # articles alone are words
        ("A!", "a", 1.0),
        ("Berlin", "Paris", 0.0),
        ("", "Paris", 0.0),
        ("北京市", "北京", 2 * 2 / 5),  # sign by sign
        ("答案是北京。", "北京", 2 * 2 / 7),
        ("ＰＡＲＩＳ", "paris", 1.0),  # of full width
        ("cafe\u0301", "café", 1.0),
        ("की भाषा", "कि भाषा", 2 * 1 / 4),  # vowel signs are no punctuation: two words differ
        ("“Paris” — €5", "paris 5", 1.0),
        ("so\u00adlar", "solar", 1.0),
    ],
)
def test_token_f1_by_hand(response: str, reference: str, score: float) -> None:
    assert token_f1(response, reference) == pytest.approx(score)


def test_words_are_those_of_squad() -> None:
    found = words("The quick, brown fox -- a fox! -- isn't in an_inn.")
    assert found == ["quick", "brown", "fox", "fox", "isnt", "in", "aninn"]


def test_the_likest_of_several_references_counts() -> None:
    several = json.dumps(["the Fourth of July", "4 July", "", "???"])
    assert verify_token_f1(several, "July 4").reward == 1.0
    assert verify_token_f1({"text": ["4 July"], "answer_start": [3]}, "4 July").verdict == "correct"
    assert verify_token_f1('{"text": ["4 July"], "answer_start": [3]}', "4 July").verdict == "correct"
    assert verify_token_f1("[unclear] answer", "unclear answer").reward == 1.0  # no JSON
    assert verify_token_f1('{"a": 1}', "a 1").reward == 1.0  # JSON, but no references: it is the reference


def test_correct_is_from_four_fifths_on() -> None:
    most, less = verify_token_f1("a b c d e f", "b c d e x y"), verify_token_f1("b c d e f", "b c d e f g h")
    assert (most.verdict, most.reward) == ("wrong", pytest.approx(2 * 4 / 11))
    assert (less.verdict, less.reward) == ("correct", pytest.approx(2 * 5 / 12))
    assert most.detail == "token F1 0.727, expected a b c d e f"


@pytest.mark.parametrize("answer", ["", "   ", "?!", "[]", '["", "-"]', '{"text": []}', "[[1]]".replace("1", "")])
@pytest.mark.parametrize("route", ["token-f1", pytest.param("rouge", marks=needs_rouge)])
def test_a_reference_without_a_word_is_our_error(answer: str, route: str) -> None:
    with Verifiers(VerifierSettings(workers=1)) as verify:
        (verdict,) = verify([(problem(answer, route), "Paris")])
        assert verify.counts()["general/error"] == 1
    assert (verdict.verdict, verdict.reward, verdict.detail) == ("error", 0.0, references.NO_REFERENCE)


@pytest.mark.parametrize("in_thought", [False, True])
@pytest.mark.parametrize("route", ["token-f1", pytest.param("rouge", marks=needs_rouge)])
def test_thoughts_are_left_out_and_nothing_is_a_wrong_answer(route: str, in_thought: bool) -> None:
    asked = problem("Paris in France", route)
    responses = [
        "<think>Rome?</think>Paris in France",
        "<think>Paris in France</think>Rome",
        "<think>Paris in France</think>",
        "<think>Paris in France",
        "Paris in France</think>Rome",
        "",
        " \n",
    ]
    with Verifiers(VerifierSettings(workers=1, answer_in_thought=in_thought)) as verify:
        verdicts = verify([(asked, response) for response in responses])
    assert [(v.verdict, v.reward) for v in verdicts] == [("correct", 1.0)] + [("wrong", 0.0)] * 6


@needs_rouge
def test_rouge_by_hand_and_the_likest_of_several_references() -> None:
    gold = "the cat sat on the mat"
    answers = [gold, ["dogs bark", gold], gold, gold, "北京大学", gold]
    responses = [gold, gold, "the cat lay on a mat", "dogs bark", "北京的大学", "THE CATS SAT ON THE MATS"]
    with Verifiers(VerifierSettings(workers=1)) as verify:
        verdicts = verify([(problem(a, "rouge"), r) for a, r in zip(answers, responses, strict=True)])
    # third: of 6 words and 6, "the cat on mat" in this order; fifth: 4 signs of 5, 4 of 4
    assert [v.reward for v in verdicts] == pytest.approx([1, 1, 4 / 6, 0, 2 * 0.8 / 1.8, 1])
    assert [v.verdict for v in verdicts] == ["correct", "correct", "correct", "wrong", "correct", "correct"]
    assert verdicts[2].seconds > 0
    assert verdicts[2].detail == "ROUGE-L 0.666667 (ROUGE-1 0.667, ROUGE-2 0.200)"


@needs_rouge
@pytest.mark.parametrize("text", ["The runners' RUNNING (1,000 m) was state-of-the-art!\n\tfoo_bar x", "a's b", ""])
def test_words_of_plain_english_are_those_of_rouge_score(text: str) -> None:
    from rouge_score.tokenizers import DefaultTokenizer

    assert spoken(text) == DefaultTokenizer(use_stemmer=True).tokenize(text)


@needs_rouge
def test_a_summary_of_too_many_words_earns_nothing() -> None:
    with Verifiers(VerifierSettings(workers=1)) as verify:
        (verdict,) = verify([(problem("the cat sat", "rouge"), "the cat sat " * 4_000)])
    assert (verdict.verdict, verdict.reward) == ("wrong", 0.0)
    assert "more than 10,000 words" in verdict.detail


def test_a_missing_package_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rouge_score" else found(name))
    with Verifiers(VerifierSettings(workers=1)) as verify, pytest.raises(UserError, match=r"ringlite\[rouge\]"):
        verify([(problem("x", "rouge"), "x")])


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a ", "a", "the ", "。", "北", " ", "\u0301", "_"])
def test_long_responses_are_read_in_no_time(unit: str) -> None:
    assert is_quick(lambda text: (words(text), spoken(text, stem=False)), repeated(unit))
    assert verify_token_f1("a b", repeated(unit)).reward == 0.0


def test_responses_of_a_file_are_scored(tmp_path: Any) -> None:
    rows = [
        {"verifier": "token-f1", "answer": ["Paris", "the city of Paris"], "response": "The city of Paris"},
        {"verifier": "token-f1", "answer": "Paris", "response": "Rome"},
        {"verifier": "token-f1", "answer": "", "response": "Rome"},
        {"verifier": "token-f1", "answer": [], "response": "Rome"},
        {"verifier": "token-f1", "response": "Rome"},
    ]
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps({"domain": "general"} | row) + "\n" for row in rows), encoding="utf-8")
    verify_file(file, out, VerifierSettings(workers=1))
    given = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["verdict"] for row in given] == ["correct", "wrong", "error", "bad row", "bad row"]


@pytest.mark.parametrize(
    ("verdict", "reward", "right"),
    [
        ("correct", 1.0, True), ("accepted", 1.0, True), ("correct", 0.3, True), ("wrong", 0.7, False),
        ("wrong", 0.0, False), ("partial", 0.5, True), ("partial", 0.49, False), ("partial", None, False),
        ("error", 0.0, False), ("", 1.0, True), ("unparsed", 0.0, False),
    ],
)  # fmt: skip
def test_right_is_what_the_verdict_says(verdict: str, reward: float | None, right: bool) -> None:
    assert is_right(verdict, reward) == right


def test_a_verdict_called_off_stays_so_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    asked: Future[Verdict] = Future()
    made = then(asked, lambda done: done.result())
    assert made.cancel()
    with caplog.at_level(logging.DEBUG):
        asked.set_result(Verdict("correct", 1.0))
    assert caplog.records == []  # concurrent.futures logs a traceback of what a callback raises
    asked = Future()
    broken = then(asked, lambda _: Verdict("correct", float("no number")))
    asked.set_result(Verdict("correct", 1.0))
    with pytest.raises(ValueError, match="no number"):
        broken.result(timeout=1)
