"""Sizes in the config of a new model that no network can have. No torch: `check` asks here."""

import re
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

from ringlite_cli.config_numbers import CHOSEN, expert_counts

_SIZE = re.compile(r"(^|_)(num|n)_|_(size|dim|heads|layers|rank|experts)$|^d_model$|^moe_k$|^max_position_embeddings$")
_BY_SIGN = re.compile(r"window|chunk|index")
"""Parts of names of fields in which a negative number stands for "all" or "none"."""
_AT_LEAST_ONE = frozenset(
    (
        *("hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        *("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads", "head_dim"),
        *("intermediate_size", "moe_intermediate_size", "max_position_embeddings", "n_positions", *CHOSEN),
    )
)


def size_faults(given: Mapping[str, Any], vocab_size: int) -> list[str]:
    """Return what is wrong with the sizes of `model.new.config`, each as `key: what`.

    vocab_size: `model.new.vocab_size`, the most tokens that the tokenizer is trained to have.
    """
    faults = []
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not _SIZE.search(name):
            continue
        least = 1 if name in _AT_LEAST_ONE else 0
        if value < least and not _BY_SIGN.search(name):
            faults.append(f"{name}: it must be at least {least}, not {value}")
    if given.get("vocab_size", vocab_size) != vocab_size:
        what = f"the tokenizer decides it, with at most the {vocab_size} tokens of new.vocab_size"
        faults.append(f"vocab_size: {what}; give the size there, and remove this one")
    return faults or experts_faults(SimpleNamespace(**given), given)


def experts_faults(config: Any, given: Collection[str]) -> list[str]:
    """Return whether a token would be sent to more experts than a layer has.

    config: transformers', or its fields. given: names of fields that the user wrote, of which one is told.
    """
    count, chosen = expert_counts(config)
    if chosen <= count:
        return []
    name = next((name for name in CHOSEN if name in given), "num_experts_per_tok")
    return [f"{name}: a token can't be sent to {chosen} experts of {count}"]
