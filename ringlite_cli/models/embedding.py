"""Whether the tokenizer's tokens have rows in the model's embedding."""

import logging
from typing import Any

from ringlite_cli.errors import UserError

log = logging.getLogger(__name__)


def check_embedding(network: Any, tokenizer: Any, where: str) -> None:
    """Take the end token for padding where the padding token has no row, and say so.

    Raises UserError where another token has none: a text with it could not be read.
    """
    rows = network.get_input_embeddings().weight.shape[0]
    beyond = _beyond(rows, tokenizer)
    pad = tokenizer.pad_token
    if pad in beyond and pad != tokenizer.eos_token:
        log.warning(
            "%s: the padding token %s has the number %d, and the embedding has %d rows: %s is taken for padding",
            *(where, pad, beyond[pad], rows, tokenizer.eos_token),
        )
        tokenizer.pad_token = tokenizer.eos_token
        if network.generation_config is not None:
            network.generation_config.pad_token_id = tokenizer.eos_token_id
        network.config.pad_token_id = tokenizer.eos_token_id
    check_tokens(rows, tokenizer, where, padding=pad)


def check_tokens(rows: int, tokenizer: Any, where: str, *, padding: str | None = None) -> None:
    """Raise UserError where a token has no row in an embedding of so many, but for a padding token of its own.

    padding: that token; default: the tokenizer's.
    """
    beyond = _beyond(rows, tokenizer)
    padding = padding or tokenizer.pad_token
    if padding is not None and padding != tokenizer.eos_token:
        beyond.pop(padding, None)
    if beyond:
        token = min(beyond, key=lambda token: beyond[token])
        raise UserError(
            f"the tokenizer has {len(beyond)} tokens beyond the model's embedding, as {token} with the number "
            f"{beyond[token]}; the embedding has {rows} rows",
            where=where,
            hint="tokenizer and weights are of two models; or call model.resize_token_embeddings(len(tokenizer)), save",
        )


def _beyond(rows: int, tokenizer: Any) -> dict[str, int]:
    """Token -> number of each that has no row."""
    return {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
