"""A tiny model that is made new, as a recipe says it."""

CONFIG = {
    "model_type": "ernie4_5_moe",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "moe_intermediate_size": 16,
    "moe_num_experts": 4,
    "moe_k": 2,
    "moe_num_shared_experts": 1,
    "moe_layer_start_index": 1,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}


def new(**changes):
    return {"new": {"vocab_size": 400, "config": CONFIG | changes}, "dtype": "float32"}
