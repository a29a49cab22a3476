"""The samples of SFT: left out, cut and counted in the open; read back before anything is trained."""

import pytest
from chat_tokenizers import tokenizer_of
from policies import byte_tokenizer, write_tiny_policy

from ringlite_cli.chat.training import SampleMaker
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.train.sft.run import run_sft
from ringlite_cli.train.sft.samples import TOO_LONG, UNWRITABLE, Limits, Samples, make_samples, said


def problems(*traces, prompt="What is 1 + 1?"):
    return [Problem(f"p{i}", "math", prompt, "2", trace=trace) for i, trace in enumerate(traces)]


def made(rows, limits=Limits(), tokenizer=None, thinking="auto") -> Samples:  # noqa: B008 (frozen)
    return make_samples(rows, SampleMaker(tokenizer or byte_tokenizer(), {}, thinking), limits, 1)


SHORT = [f"{i} and \\boxed{{2}}" for i in range(19)]


def test_a_trace_that_does_not_fit_is_left_out_and_said():
    limits = Limits(context=64)
    found = made(problems(*SHORT, "x" * 100), limits)
    assert (len(found), found.left_out[TOO_LONG]) == (19, 1)
    account = found.account(limits)
    assert (account["samples"], account["longest"], account["limit"]) == (19, 117, 64)
    assert "1 of 20 samples left out: too long (longest 117, limit 64 tokens)" in list(said(account))


def test_too_many_left_out_is_an_error_that_names_the_ways_out():
    rows = problems(*SHORT[:4], "x" * 100)
    with pytest.raises(UserError, match=r"1 of 5 samples.*context is 64 tokens, the longest has 117.*truncate: true"):
        made(rows, Limits(context=64))
    with pytest.raises(UserError, match=r"5 of 5 .*max_length is 8.*raise trl.max_length"):
        made(rows, Limits(context=64, max_length=8, truncate=True))  # the prompt alone is longer
    assert len(made(rows, Limits(context=64, max_left_out=0.2))) == 4


def test_a_cut_sample_keeps_its_start_and_has_no_end_token():
    tokenizer = byte_tokenizer()
    found = made(problems(*SHORT[:3], "x" * 100), Limits(context=64, truncate=True))
    (cut,) = (ids for ids in found.ids if len(ids) == 64)
    assert tokenizer.eos_token_id not in cut
    assert (found.cut, found.left_out.total()) == (1, 0)


def test_letters_that_a_tokenizer_has_not_are_no_silent_loss():
    from tiny_lm import tiny_tokenizer

    words = problems(*["w1 w2"] * 19, "w1 zebra", prompt="w3 w4")
    found = made(words, tokenizer=tiny_tokenizer())
    assert (len(found), found.left_out[UNWRITABLE]) == (19, 1)


def test_a_trained_text_that_is_not_the_trace_is_an_error_that_shows_where():
    class Dropping(SampleMaker):
        def of_turns(self, *args):
            from dataclasses import replace

            sample = super().of_turns(*args)
            return replace(sample, response_ids=sample.response_ids[4:])

    with pytest.raises(UserError, match=r"problem p0: .*response reads back otherwise: character 0: given '0 and"):
        make_samples(problems(SHORT[0]), Dropping(byte_tokenizer(), {}), Limits(), 1)


def test_what_was_done_with_traces_is_said_once():
    thinking = tokenizer_of("qwen3")
    lines = list(said(made(problems(*SHORT), tokenizer=thinking).account(Limits())))
    assert lines == ["19 plain traces put between the model's thinking tags, the final answer behind them "
                     "(thinking: as-is trains them as they are)"]  # fmt: skip
    assert not list(said(made(problems(*SHORT), tokenizer=thinking, thinking="as-is").account(Limits())))


def test_special_tokens_spelled_out_in_data_are_text_and_counted():
    tokenizer = byte_tokenizer()
    found = made(problems("a <|end|> b", "c", prompt="Is <|assistant|> a token?"), tokenizer=tokenizer)
    for ids in found.ids:
        assert [i for i in ids if i < 4] == [2, 3, 1]  # the user's turn, the assistant's, the end
    assert dict(found.spelled) == {"<|end|>": 1, "<|assistant|>": 2}


@pytest.mark.parametrize(("name", "fix"), [("llama3_2", "chat_template_kwargs: {date_string: ...}"), ("phi3", "")])
def test_a_template_that_writes_the_date_is_said_with_what_fixes_it(name, fix):
    lines = "\n".join(said(made(problems(*SHORT), tokenizer=tokenizer_of(name)).account(Limits())))
    assert ("today's date" in lines, fix in lines) == (bool(fix), True)


@pytest.mark.slow
def test_nothing_is_cut_where_max_length_is_unset(tmp_path):
    """TRL's own default is 1,024."""
    base = write_tiny_policy(tmp_path / "base")
    config = (
        (base / "config.json").read_text().replace('"max_position_embeddings": 256', '"max_position_embeddings": 4096')
    )
    (base / "config.json").write_text(config)
    accounts: list[dict] = []
    rows = problems(*["y" * 1500] * 2, "z")
    result = run_sft(base, rows, tmp_path / "out", trl={"max_steps": 1}, on_samples=accounts.append)
    assert accounts[0]["trained_tokens"] == 2 * 1501 + 2
    assert result.finished
    with pytest.raises(UserError, match=r"2 of 3 samples would be left out \(2 too long\): max_length is 1,024"):
        run_sft(base, rows, tmp_path / "out2", trl={"max_length": 1024})
