"""Small reward models on disk, for tests."""

from pathlib import Path
from typing import Any

CHAT = (
    "{% for m in messages %}<s>{{ m['role'] }} {{ m['content'] }} </s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant {% endif %}"
)
WORDS = ("good", "bad", "fine", "poor", "user", "assistant", "system", "?", "why", "so", "and", "then", "say", "more")


def make_tokenizer(template: str = CHAT, pad: str | None = "<pad>", more: tuple[str, ...] = ()) -> Any:
    """Return a tokenizer of words, with turns between <s> and </s>."""
    import tokenizers
    import transformers

    names = ("<pad>", "<s>", "</s>", "<unk>", *WORDS, *more)
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token=pad, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.chat_template = template or None
    return made


def make_reward_model(
    folder: Path, tokenizer: Any, *, labels: int = 1, pad: int | None = 0, positions: int = 256
) -> Path:
    """Write a random classifier of sequences with its tokenizer."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_labels=labels, pad_token_id=pad, max_position_embeddings=positions, initializer_range=0.5,
    )  # fmt: skip
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
