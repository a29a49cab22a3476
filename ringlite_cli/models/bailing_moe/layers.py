"""The layers of Ling-lite and Ring-lite, composed from transformers' own blocks.

Rotary embedding, norm and attention interface are Llama's; experts, router and feed-forward are Qwen2-MoE's. What is
Bailing's own: one fused projection for query, key and value, and ungated shared experts.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb, eager_attention_forward
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeExperts, Qwen2MoeMLP, Qwen2MoeTopKRouter

from ringlite_cli.models.bailing_moe.configuration import BailingMoeConfig


class BailingMoeAttention(nn.Module):
    """Causal attention; `query_key_value` holds the rows of all queries, then keys, then values."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        assert config.head_dim is not None
        self.config, self.layer_idx = config, layer_idx
        self.head_dim = config.head_dim
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.num_key_value_groups = self.heads // self.kv_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = True
        rows = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.query_key_value = nn.Linear(config.hidden_size, rows, bias=config.use_qkv_bias)
        self.dense = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=config.use_bias)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        cache: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_states: (B, T, H). Returns the output (B, T, H), and weights where the attention gives them.

        The keys and values before come as `past_key_values`, or from transformers 5.24 on as `cache`.
        """
        past_key_values = cache if past_key_values is None else past_key_values
        batch, length, _ = hidden_states.shape
        fused = self.query_key_value(hidden_states).view(batch, length, -1, self.head_dim).transpose(1, 2)
        query, key, value = fused.split((self.heads, self.kv_heads, self.kv_heads), dim=1)
        query, key = self.rotate(query, key, position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        out, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.dense(out.reshape(batch, length, -1)), weights

    def rotate(self, query: Tensor, key: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """query, key: (B, heads, T, D). rotary: cosines and sines (B, T, D)."""
        rotated: tuple[Tensor, Tensor] = apply_rotary_pos_emb(query, key, *rotary)
        return rotated


class BailingMoeRouter(Qwen2MoeTopKRouter):
    """(M, H) -> logits (M, Ne), weights and indices (M, k) of the chosen experts; a single expert keeps its weight."""

    def __init__(self, config: BailingMoeConfig) -> None:
        super().__init__(config)
        self.norm_topk_prob = config.norm_topk_prob and config.num_experts_per_tok > 1


class BailingMoeSparseBlock(nn.Module):
    """Routed experts, and the shared ones that every token passes."""

    def __init__(self, config: BailingMoeConfig) -> None:
        super().__init__()
        self.gate = BailingMoeRouter(config)
        self.experts = Qwen2MoeExperts(config)
        self.shared_experts = None
        if config.num_shared_experts:
            self.shared_experts = Qwen2MoeMLP(config, config.moe_intermediate_size * config.num_shared_experts)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        tokens = hidden_states.reshape(-1, hidden_states.shape[-1])
        _, weights, chosen = self.gate(tokens)
        out = self.experts(tokens, chosen, weights)
        if self.shared_experts is not None:
            out = out + self.shared_experts(tokens)
        return out.reshape(hidden_states.shape)


class BailingMoeDecoderLayer(GradientCheckpointingLayer):
    def __init__(self, config: BailingMoeConfig, layer_idx: int) -> None:
        super().__init__()
        dense = layer_idx < config.first_k_dense_replace
        self.attention = BailingMoeAttention(config, layer_idx)
        self.mlp = Qwen2MoeMLP(config, config.intermediate_size) if dense else BailingMoeSparseBlock(config)
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """(B, T, H) -> (B, T, H); the keywords are attention's."""
        hidden_states = hidden_states + self.attention(self.input_layernorm(hidden_states), **kwargs)[0]
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))
