"""A new model with random weights: a Ring-lite in miniature.

Any architecture that transformers ships (the demo's is a MoE with shared and fine-grained routed experts), and a small
BPE tokenizer trained on the curated traces, digits apart, with a chat template.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringlite_cli.config_numbers import attention
from ringlite_cli.errors import UserError, near, one_line
from ringlite_cli.models import register
from ringlite_cli.models.new_sizes import experts_faults

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_WHERE = "model.new.config"
SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")

_PIECES = r"[0-9]|</?think>\n?|\\boxed\{|```[a-z]*\n?| ?[A-Za-z_]+|\n *|[^0-9A-Za-z\s] ?| +"
"""How text is cut before BPE merges inside the pieces: every digit apart, words with the space before them."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """Train a byte-level BPE tokenizer of at most `vocab_size` tokens, with chat template, end and pad token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>")
    fast.chat_template = CHAT_TEMPLATE
    fast.padding_side = "left"
    return fast


def new_model(config: Mapping[str, Any], tokenizer: Any, seed: int) -> Any:
    """Make a causal LM with random weights, drawn from `seed`, whose vocabulary is the tokenizer's.

    config: fields of a transformers config, `model_type` among them. Raises UserError where transformers refuses them.
    """
    import torch
    from transformers import AutoModelForCausalLM

    settings = new_config(
        config,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = AutoModelForCausalLM.from_config(settings, dtype=torch.float32)
        except Exception as error:  # transformers validates configs with many kinds of exception
            raise _refused(error) from None
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.generation_config.pad_token_id = tokenizer.pad_token_id
    return network


def new_config(config: Mapping[str, Any], **more: Any) -> Any:
    """Return the transformers config of these fields, `model_type` among them, and of some more.

    Raises UserError for an architecture that transformers does not have, or has no language model of, for fields that
    it does not know, and for what it refuses itself.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from ringlite_cli.models.architecture import DECODERS, check_architecture

    register()
    kind = config["model_type"]
    if kind not in CONFIG_MAPPING:
        raise UserError(
            f"transformers has no architecture {kind!r}",
            where=f"{_WHERE}.model_type",
            hint=near(kind, CONFIG_MAPPING.keys(), DECODERS),
        )
    fields = {name: value for name, value in config.items() if name != "model_type"}
    try:
        settings = AutoConfig.for_model(kind, **fields | more)
    except Exception as error:  # transformers validates configs with many kinds of exception
        raise _refused(error) from None
    check_architecture(settings, f"{_WHERE}.model_type")
    _refuse_unknown(settings, config)
    heads, keys, _ = attention(settings.get_text_config())
    if keys and heads % keys:
        what = f"{heads} attention heads cannot be shared evenly by {keys} key-value heads"
        raise UserError(what, where=f"{_WHERE}.num_key_value_heads", hint="take a number that divides them")
    if faults := experts_faults(settings.get_text_config(), config):
        raise UserError(faults[0], where=_WHERE, hint="give both numbers")
    return settings


def _refused(error: Exception) -> UserError:
    return UserError(f"transformers refuses this config ({one_line(error)})", where=_WHERE)


def _code_of(settings: Any) -> str:
    """Return an architecture's code, which may read fields that its config class does not name; "" without a file.

    Published configs of Qwen3's mixtures have a `head_dim` of this kind.
    """
    found = find_spec(type(settings).__module__.replace(".configuration_", ".modeling_"))
    return Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""


def _refuse_unknown(settings: Any, config: Mapping[str, Any]) -> None:
    """A config class takes any keyword in silence; a misspelt one must not pass."""
    known = type(settings)().to_dict()
    read = set(re.findall(r"\bconfig\.(\w+)|\bgetattr\((?:self\.)?config, \"(\w+)\"", _code_of(settings)))
    known_to_code = {name for pair in read for name in pair}
    unknown = [
        key for key in config if key not in known and not hasattr(type(settings), key) and key not in known_to_code
    ]
    if unknown:
        raise UserError(
            f"'{unknown[0]}' is not a field of {type(settings).__name__}",
            where=_WHERE,
            hint=near(unknown[0], known, "see the architecture's page in the transformers documentation"),
        )
