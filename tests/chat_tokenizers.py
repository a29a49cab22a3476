"""Byte tokenizers that know a chat template's own tokens, as the tokenizer that it was written for does."""

import re
from pathlib import Path

import trl
from policies import byte_tokenizer
from transformers import PreTrainedTokenizer

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
NAMES = sorted(file.stem for file in TEMPLATES.glob("*.jinja"))

_TOKENS = re.compile(
    r"<\|/?[A-Za-z_]+\|>|<\|turn>|<turn\|>|<[a-z_]*(?:turn|utterance)>|<｜[^｜]+｜>|</s>|<s>|\[/?(?:INST|THINK)\]"
)


def tokenizer_for(template: str, *more: str):
    """A tokenizer whose special tokens are those that the template's text names, and `more`."""
    tokenizer = byte_tokenizer()
    tokens = sorted({*_TOKENS.findall(template), *more} - set(tokenizer.get_vocab()))
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.chat_template = template
    return tokenizer


def tokenizer_of(name: str, *more: str):
    """A tokenizer with the template of that name among those that TRL ships."""
    return tokenizer_for((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"), *more)


class LetterTokenizer(PreTrainedTokenizer):
    """A tokenizer in Python, as a model's own code brings it: a token a letter, and those of ChatML."""

    def __init__(self, template: str) -> None:
        self.letters = ["\n", *map(chr, range(32, 127))]
        super().__init__(eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"])
        self.chat_template = template

    @property
    def vocab_size(self) -> int:
        return len(self.letters)

    def get_vocab(self) -> dict[str, int]:
        return {letter: i for i, letter in enumerate(self.letters)} | self.added_tokens_encoder

    def _tokenize(self, text: str) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.letters.index(token)

    def _convert_id_to_token(self, index: int) -> str:
        return self.letters[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)
