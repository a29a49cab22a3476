"""Every chat template that TRL ships: what is trained is what was given, behind the prompt as it is asked."""

import pytest
from chat_tokenizers import NAMES, tokenizer_of

from ringlite_cli.chat.rendering import decode, prompt_ids
from ringlite_cli.chat.templates import ChatOptions, settle
from ringlite_cli.chat.training import SampleMaker, misread
from ringlite_cli.thoughts import answer_part, opened_thought

PLAIN = "7 boxes of 11 make 77.\n  And 2 loose ones:\n\nSo it is \\boxed{79}. "
THINKING = "<think>\n7 times 11 is 77. Wait, 2 more.\n</think>\n\nSo it is \\boxed{79}."
TURNS = [
    {"role": "system", "content": "Count with care."},
    {"role": "user", "content": "What is in a box?"},
    {"role": "assistant", "content": "Screws."},
    {"role": "user", "content": "  How many screws are there?"},
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("messages", [TURNS[-1:], TURNS], ids=["one turn", "turns"])
def test_the_trained_text_is_the_given_text(name, messages):
    tokenizer = tokenizer_of(name)
    settle(tokenizer, name, ChatOptions(end_token="<|end|>" if name == "glm4moe" else ""))
    for trace in (PLAIN, THINKING):
        maker = SampleMaker(tokenizer, {}, "as-is")
        sample = maker.of_turns(messages, trace)
        assert sample.prompt_ids == prompt_ids(tokenizer, messages)
        assert sample.input_ids[: len(sample.prompt_ids)] == sample.prompt_ids
        assert sample.response_ids[-1] == tokenizer.eos_token_id
        assert not misread(tokenizer, sample)
        assert all(turn["content"].strip() in sample.prompt for turn in messages)
        trained = decode(tokenizer, sample.response_ids[:-1])
        opened = opened_thought(sample.prompt)
        asked = sample.prompt[sample.prompt.rfind(opened) :] if opened and trace is THINKING else ""
        assert asked + trained == trace


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_trace_stands_whole_in_the_thought_where_the_template_thinks(name):
    tokenizer = tokenizer_of(name)
    sample = SampleMaker(tokenizer, {}).of_turns(TURNS[-1:], PLAIN)
    assert PLAIN.strip() in sample.response
    read = opened_thought(sample.prompt) + sample.response
    if sample.how == "wrapped":
        assert answer_part(read).strip() == "\\boxed{79}"
        assert read.count("<think>") == read.count("</think>") == 1
    else:
        assert sample.response == PLAIN


def test_which_templates_wrap_a_plain_trace():
    made = {name: SampleMaker(tokenizer_of(name), {}).of_turns(TURNS[-1:], PLAIN).how for name in NAMES}
    plain = {"qwen2_5", "llama3_2", "gemma3", "phi3", "qwen3_instruct_2507", "qwen3_5_nothink"}
    assert {made[name] for name in plain} == {"as given"}
    thinking = {"qwen3", "qwen3_6", "deepseek_r1_distill", "deepseekv3", "nemotron_3_nano", "glm4moe"}
    assert {made[name] for name in thinking} == {"wrapped"}


ANSWER = "Hermit crabs move house.\n\nThey do it when they grow."
EMPTY = "<think>\n\n</think>\n\n"


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_alone_stands_whole_behind_an_empty_thought_where_the_template_thinks(name):
    tokenizer = tokenizer_of(name)
    maker = SampleMaker(tokenizer, {})
    sample, worked = (maker.of_turns(TURNS[-1:], trace, domain="general") for trace in (ANSWER, PLAIN))
    assert not misread(tokenizer, sample)
    read = opened_thought(sample.prompt) + sample.response
    assert (sample.how == "thoughtless") == (worked.how == "wrapped")  # a box marks a result that was worked towards
    if sample.how == "thoughtless":
        assert answer_part(read).strip() == ANSWER
        assert read.partition("</think>")[0].split("<think>")[1].strip() == ""
    else:
        assert sample.response == ANSWER


def test_an_empty_thought_is_written_as_the_models_themselves_write_it():
    for name, response in (("qwen3", EMPTY + ANSWER), ("deepseek_r1_distill", f"\n</think>\n\n{ANSWER}")):
        sample = SampleMaker(tokenizer_of(name), {}).of_turns(TURNS[-1:], ANSWER, domain="general")
        assert (sample.how, sample.response) == ("thoughtless", response), name
    for thinking, response in (("wrap", EMPTY + ANSWER), ("as-is", ANSWER)):
        maker = SampleMaker(tokenizer_of("llama3_2"), {}, thinking)
        assert maker.of_turns(TURNS[-1:], ANSWER, domain="general").response == response
    thought = f"<think>\nWhat do they do?\n</think>\n\n{ANSWER}"
    assert SampleMaker(tokenizer_of("qwen3"), {}).of_turns(TURNS[-1:], thought, domain="general").how == "as given"
