"""The shipped recipes of thinking models train a thought that is one, with the templates of their families."""

import pytest
from chat_tokenizers import tokenizer_of

from ringlite_cli.chat.templates import settle
from ringlite_cli.chat.training import SampleMaker, misread
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.stages.kinds.sft import chat_options
from ringlite_cli.thoughts import answer_part


@pytest.mark.parametrize(("recipe", "template"), [("qwen3-1.7b", "qwen3"), ("ring-distill-qwen-7b", "qwen2_5")])
def test_a_plain_trace_teaches_to_think(recipe, template):
    loaded = load_recipe(recipe)
    tokenizer = tokenizer_of(template, "<think>", "</think>")
    settle(tokenizer, recipe, chat_options(loaded))
    assert tokenizer.eos_token == "<|im_end|>"
    maker = SampleMaker(tokenizer, loaded.prompt_suffix, loaded.thinking)
    trace = "She sells 48/2 = 24 clips.\nAll in all 72.\n\nSo \\boxed{72}."
    sample = maker.make(Problem("p", "math", "How many clips?", "72", trace=trace))
    assert sample.prompt.endswith("<|im_start|>assistant\n")
    assert sample.response == f"<think>\n{trace}\n</think>\n\n\\boxed{{72}}"
    assert answer_part(sample.response).strip() == "\\boxed{72}"
    assert not misread(tokenizer, sample)
