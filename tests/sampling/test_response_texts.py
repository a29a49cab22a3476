"""Responses as text: special tokens are left out, the tags of thoughts never."""

import pytest
from tiny_lm import EOS, tiny_tokenizer
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from ringlite_cli.sampling.load import prompt_end, response_texts


@pytest.mark.parametrize("special", [False, True])
def test_the_tags_of_thoughts_stay_in_a_response(special):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["[THINK]", "[/THINK]"], special_tokens=special)
    if special:
        tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    start, end = tokenizer.convert_tokens_to_ids(["[THINK]", "[/THINK]"])
    (text,) = response_texts(tokenizer, [(start, 1, end, 2, EOS)])
    assert text.split() == ["[THINK]", "w1", "[/THINK]", "w2"]


def test_without_such_tags_a_response_is_decoded_as_ever():
    tokenizer = tiny_tokenizer()
    assert response_texts(tokenizer, [(1, 2, EOS), (3,)]) == ["w1 w2", "w3"]


def test_the_end_of_a_prompt_shows_special_tokens():
    tokenizer = tiny_tokenizer()
    ids = tokenizer.convert_tokens_to_ids(["<user>", "w1", "<assistant>"])
    assert prompt_end(tokenizer, ids).split() == ["<user>", "w1", "<assistant>"]


def test_no_space_is_taken_out_of_what_a_policy_wrote():
    """A tokenizer that cleans up made `''` of `' '`, which is another program."""
    words = Tokenizer(models.Unigram([("<unk>", 0.0)] + [(letter, -1.0) for letter in "x '=,."], unk_id=0))
    words.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", clean_up_tokenization_spaces=True)
    program = "x = ' ' , x ."
    assert response_texts(tokenizer, [tokenizer(program, add_special_tokens=False)["input_ids"]]) == [program]
