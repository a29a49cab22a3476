"""Tiny two-layer models and a word tokenizer, made on the spot: real architectures, no download."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)  # tiny matrices: a second thread costs more than it brings, above all on busy cores

EOS, PAD, WORDS = 56, 57, 50

_COMMON: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
}
_MOE = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"head_dim": 8},
    "qwen3_moe": {**_MOE, "head_dim": 8},
    "qwen2_moe": {**_MOE, "shared_expert_intermediate_size": 32},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "ernie4_5_moe": {
        "moe_intermediate_size": 32,
        "moe_num_experts": 4,
        "moe_k": 2,
        "moe_num_shared_experts": 1,
        "moe_layer_start_index": 1,
    },
}
MIXTURES = ("qwen3_moe", "qwen2_moe", "olmoe", "ernie4_5_moe")


def tiny_model(architecture: str, seed: int = 0, **config: Any) -> Any:
    """A randomly initialised causal language model of that architecture, in float32 and evaluation mode."""
    torch.manual_seed(seed)
    fields = _COMMON | ARCHITECTURES.get(architecture, {}) | config
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **fields), dtype=torch.float32)
    for name, parameter in model.named_parameters():
        if name.endswith("mlp.gate.weight"):  # ernie4_5_moe makes routers of zeros, where every choice is a tie
            torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = EOS, PAD
    return model.eval()


def tiny_tokenizer() -> Any:
    """Words w0 ... w55 split at spaces, with a chat template."""
    words = {f"w{i}": i for i in range(EOS)}
    special = {"<eos>": EOS, "<pad>": PAD, "<unk>": 58, "<user>": 59, "<assistant>": 60}
    tokenizer = Tokenizer(models.WordLevel(words | special, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", padding_side="left"
    )
    fast.chat_template = (
        "{% for m in messages %}{{ '<user> ' + m['content'] + ' ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    return fast


def save_policy(folder: Path, architecture: str, **config: Any) -> Path:
    """The model and tokenizer as a plain Hugging Face folder."""
    tiny_model(architecture, **config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
