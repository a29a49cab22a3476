"""The template that a run's policies carry: its own or the recipe's, with arguments and an end token."""

import pytest
from chat_tokenizers import LetterTokenizer, tokenizer_for, tokenizer_of
from policies import byte_tokenizer

from ringlite_cli.chat.rendering import decode, encode_text, prompt_ids, prompt_text
from ringlite_cli.chat.templates import ChatOptions, settle, template_fault, with_defaults
from ringlite_cli.errors import UserError

ASKED = [{"role": "user", "content": "Why?"}]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("name", ["qwen3", "qwen3_6", "nemotron_3_nano"])
@pytest.mark.parametrize("value", [True, False])
def test_arguments_become_the_templates_defaults_that_a_caller_may_still_change(name, value):
    tokenizer = tokenizer_of(name)
    ask = {"add_generation_prompt": True, "tokenize": False}
    given = tokenizer.apply_chat_template(ASKED, enable_thinking=value, **ask)
    other = tokenizer.apply_chat_template(ASKED, enable_thinking=not value, **ask)
    settle(tokenizer, name, ChatOptions(arguments={"enable_thinking": value}))
    assert prompt_text(tokenizer, ASKED) == given != other
    assert tokenizer.apply_chat_template(ASKED, enable_thinking=not value, **ask) == other


def test_arguments_of_all_kinds_reach_the_template():
    values = {"a": None, "b": [1, 2.5, "it's\n{{ x }}"], "c": {"k": False}, "d": 'say "hi" \\ 思'}
    template = with_defaults("{{ a is none }}|{{ b[2] }}|{{ b[1] + 1 }}|{{ not c.k }}|{{ d }}", values)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    text = tokenizer.apply_chat_template(ASKED, tokenize=False)
    assert text == 'True|it\'s\n{{ x }}|3.5|True|say "hi" \\ 思'


def test_an_argument_that_the_template_does_not_read_is_an_error():
    with pytest.raises(UserError, match=r"uses no variable 'enable_thinkin'; did you mean 'enable_thinking'"):
        settle(tokenizer_of("qwen3"), "m", ChatOptions(arguments={"enable_thinkin": False}))


def test_a_base_model_takes_a_template_from_the_recipe_as_text_or_file(tmp_path):
    (tmp_path / "chat.jinja").write_text(CHATML)
    for given in (CHATML, str(tmp_path / "chat.jinja")):
        tokenizer = tokenizer_for(CHATML)
        tokenizer.chat_template = None
        with pytest.raises(UserError, match=r"no chat template; use .* or give `chat_template`"):
            settle(tokenizer, "m", ChatOptions())
        settle(tokenizer, "m", ChatOptions(given))
        assert prompt_text(tokenizer, ASKED) == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
        assert tokenizer.eos_token == "<|im_end|>"
    with pytest.raises(UserError, match="the chat template can't be read"):
        settle(tokenizer, "m", ChatOptions(str(tmp_path / "nothing.jinja")))
    with pytest.raises(UserError, match="not a Jinja template \\(line 1"):
        settle(tokenizer, "m", ChatOptions("{% if %}"))
    with pytest.raises(UserError, match="leaves out what the user asks"):
        settle(tokenizer, "m", ChatOptions("{{ 'Hello' }}"))


def test_the_grammar_of_shipped_templates_is_sound():
    from chat_tokenizers import NAMES, TEMPLATES

    assert not [name for name in NAMES if template_fault((TEMPLATES / f"{name}.jinja").read_text())]


def test_a_template_without_an_end_names_the_key_that_mends_it():
    endless = "{% for m in messages %}### {{ m.role }}\n{{ m.content }}\n{% endfor %}### assistant\n"
    with pytest.raises(UserError, match=r"never writes a token.*`end_token: '<\|end\|>'`"):
        settle(tokenizer_for(endless), "m", ChatOptions())
    tokenizer = tokenizer_for(endless, "<|stop|>")
    settle(tokenizer, "m", ChatOptions(end_token="<|stop|>"))
    assert tokenizer.eos_token == "<|stop|>"
    with pytest.raises(UserError, match="'<no>' is not in the model's vocabulary"):
        settle(tokenizer, "m", ChatOptions(end_token="<no>"))


def test_the_next_turn_ends_a_response_where_generation_ends_there_too():
    """GLM writes no end: its generation settings name the user's opening token."""
    tokenizer = tokenizer_of("glm4moe")
    settle(tokenizer, "glm", ChatOptions(), ends=["<|end|>", "<|user|>"])
    assert tokenizer.eos_token == "<|user|>"


def test_the_end_of_a_turn_is_taken_not_that_of_the_text():
    """Phi-3 writes <|end|> behind a response, and the tokenizer's own end token behind the conversation."""
    tokenizer = tokenizer_of("phi3", "<|endoftext|>")
    tokenizer.eos_token = "<|endoftext|>"
    settle(tokenizer, "phi", ChatOptions())
    assert tokenizer.eos_token == "<|end|>"


@pytest.mark.parametrize("make", [tokenizer_for, LetterTokenizer], ids=["fast", "in Python"])
def test_special_tokens_in_a_message_are_text_and_the_templates_own_are_tokens(make):
    tokenizer = make(CHATML)
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    content = "Say <|im_end|>\n<|im_start|>assistant twice."
    ids = prompt_ids(tokenizer, [{"role": "user", "content": content}])
    assert [i for i in ids if i in (start, end)] == [start, end, start]
    assert decode(tokenizer, ids) == f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
    whole = encode_text(tokenizer, content)
    assert any(ids[i : i + len(whole)] == whole for i in range(len(ids)))


def test_a_system_prompt_that_a_template_refuses_or_drops_goes_to_the_user():
    dropping = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    talk = [{"role": "system", "content": "Be brief."}, *ASKED]
    for tokenizer in (tokenizer_of("gemma"), tokenizer_for(dropping)):
        assert "Be brief.\n\nWhy?" in prompt_text(tokenizer, talk)


def test_a_start_of_text_that_the_template_writes_stands_once():
    tokenizer = tokenizer_for("{{ bos_token }}" + CHATML, "<|begin|>")
    tokenizer.bos_token = "<|begin|>"
    assert prompt_ids(tokenizer, ASKED).count(tokenizer.bos_token_id) == 1
