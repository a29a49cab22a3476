"""Routes other than the domain's own: instructions, a judge, a reward model."""

import json

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.instructions import CHECKS, verify_instructions

FOLLOWED = [
    ("punctuation:no_comma", {}, "No pause at all", "One, two"),
    ("language:response_language", {"language": "fr"}, "Le train part à six heures", "The train leaves at six o'clock"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "a b c", "a b"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "a b", "a b c"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One is. Two!", "One is."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
     "First.\n\nthen, second.", "First.\n\nSecond."),
    ("keywords:existence", {"keywords": ["cat", "dog"]}, "a Cat and a dog", "a cat"),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", "my cat"),
    ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "at least"}, "a b a", "b c"),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 2, "let_relation": "less than"}, "q", "qQ"),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] [date]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye\nP.S. more", "Bye"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n* b\n* c"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a*"),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2},
     "Section 1\na\nSection 2\nb", "Section 1"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<A title>>\ntext", "<<>> text"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi"}, "say hi\nhi", "hi"),
    ("startend:end_checker", {"end_phrase": "That is all."}, "So. That is all.", "That is all. So."),
    ("startend:quotation", {}, '"quoted"', '"open'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "A BC d", "A b"),
    ("change_case:english_capital", {}, "ALL OF IT", "Not all"),
    ("change_case:english_lowercase", {}, "all of it", "Not all"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), FOLLOWED)
def test_instructions(name, arguments, good, bad):
    answer = json.dumps({"instruction_id_list": [name], "kwargs": [arguments]})
    verdicts = [verify_instructions(answer, text).verdict for text in (good, bad, "")]
    assert verdicts == ["correct", "wrong", "wrong"]


def test_every_instruction_is_tested():
    assert {name for name, *_ in FOLLOWED} == set(CHECKS)


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "{}", '{"instruction_id_list": ["no:such"], "kwargs": [{}]}',
     '{"instruction_id_list": ["keywords:frequency"], "kwargs": [{"keyword": "a"}]}',
     '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}'],
)  # fmt: skip
def test_broken_instructions_are_our_error(answer):
    assert verify_instructions(answer, "text").verdict == "error"


@pytest.mark.parametrize("route", ["judge", "reward-model"])
def test_a_route_without_its_model_is_the_users_to_mend(route):
    problem = Problem("p", "general", "?", verifier=route)
    with Verifiers(VerifierSettings(workers=1)) as verify, pytest.raises(UserError, match="needs"):
        verify([(problem, "x")])


@pytest.mark.slow
def test_a_sequence_classification_model_scores(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<pad>": 0, "good": 1, "bad": 2, "?": 3}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>").save_pretrained(tmp_path)
    config = transformers.LlamaConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=1,
        pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    problem = Problem("p", "general", "?", verifier="reward-model")
    with Verifiers(VerifierSettings(workers=1, reward_model=str(tmp_path), judge_timeout=120.0)) as verify:
        good, bad, again = verify([(problem, "good"), (problem, "bad"), (problem, "good")])
    assert good == again
    assert good.verdict in ("correct", "wrong")
    assert 0 < good.reward < 1
    assert good.reward != bad.reward
