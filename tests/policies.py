"""A tiny random policy (two MoE layers, a byte tokenizer with a chat template) that tests sample from in a moment."""

from pathlib import Path

END, PAD = 1, 0


def write_tiny_policy(folder: Path, *, seed: int = 0, chat_template: bool = True, scale: float = 0.05) -> Path:
    """Writes a plain model folder; `scale` of the weights sets how far its distributions are from uniform."""
    import torch
    from transformers import AutoModelForCausalLM, Ernie4_5_MoeConfig

    tokenizer = byte_tokenizer(chat_template)
    config = Ernie4_5_MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        moe_intermediate_size=32,
        moe_num_experts=4,
        moe_k=2,
        moe_num_shared_experts=1,
        moe_layer_start_index=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=scale,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.config.output_router_logits = True  # as TRL's SFT leaves it
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def byte_tokenizer(chat_template: bool = True):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    plain.train_from_iterator(
        [],
        trainers.BpeTrainer(
            special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<|pad|>", eos_token="<|end|>")
    if chat_template:
        tokenizer.chat_template = (
            "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
            "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
        )
    return tokenizer
