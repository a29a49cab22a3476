"""Byte tokenizers that know a chat template's own tokens, as the tokenizer that it was written for does."""

import re
from pathlib import Path

import trl
from policies import byte_tokenizer

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
