"""Ling 2.0 and Ring 2.0 as transformers models: GLM-4 MoE's decoder, router and experts, with Bailing's attention.

What differs from GLM-4 MoE: one fused projection for query, key and value, an output projection that may have a bias,
shared experts that may be absent, a single chosen expert that keeps its weight, and the tensors' names (layout.py).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, initialization
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.glm4_moe.modeling_glm4_moe import (
    Glm4MoeDecoderLayer,
    Glm4MoeForCausalLM,
    Glm4MoeMLP,
    Glm4MoeModel,
    Glm4MoeMoE,
    Glm4MoePreTrainedModel,
    Glm4MoeRMSNorm,
    Glm4MoeRotaryEmbedding,
    Glm4MoeTopkRouter,
    apply_rotary_pos_emb,
)
from transformers.utils.output_capturing import OutputRecorder

from ringlite_cli.models.bailing_moe.checkpoint import check_names, check_tied, local_folder
from ringlite_cli.models.bailing_moe.layers import BailingMoeAttention
from ringlite_cli.models.bailing_moe_v2.checkpoint import check_folder, check_published
from ringlite_cli.models.bailing_moe_v2.configuration import BailingMoeV2Config
from ringlite_cli.models.extra_layers import ExtraLayers, find_extra_layers, keep_extra_layers


class BailingMoeV2Attention(BailingMoeAttention):
    """Causal attention over normalised queries and keys, of which the first channels are rotated."""

    def __init__(self, config: BailingMoeV2Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.query_layernorm: nn.Module = nn.Identity()
        self.key_layernorm: nn.Module = nn.Identity()
        if config.use_qk_norm:
            self.query_layernorm = Glm4MoeRMSNorm(self.head_dim, config.rms_norm_eps)
            self.key_layernorm = Glm4MoeRMSNorm(self.head_dim, config.rms_norm_eps)

    def rotate(self, query: Tensor, key: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """query, key: (B, heads, T, D). rotary: cosines and sines (B, T, R) of the R channels that are rotated."""
        rotated: tuple[Tensor, Tensor] = apply_rotary_pos_emb(
            self.query_layernorm(query), self.key_layernorm(key), *rotary
        )
        return rotated


class BailingMoeV2Router(Glm4MoeTopkRouter):
    """(M, H) -> logits (M, Ne), weights and indices (M, k) of the chosen experts, from sigmoids and a fixed bias."""

    def __init__(self, config: BailingMoeV2Config) -> None:
        super().__init__(config)
        self.norm_topk_prob = config.num_experts_per_tok > 1


class _NoExperts(nn.Module):
    """In place of shared experts where a model has none."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return torch.zeros_like(hidden_states)


class BailingMoeV2SparseBlock(Glm4MoeMoE):
    """Routed experts, and the shared ones that every token passes."""

    def __init__(self, config: BailingMoeV2Config) -> None:
        shared = config.num_shared_experts or 0
        super().__init__(config if shared else _with_one_shared(config))
        self.gate = BailingMoeV2Router(config)
        if not shared:
            self.shared_experts = _NoExperts()


def _with_one_shared(config: BailingMoeV2Config) -> BailingMoeV2Config:
    return type(config)(**{**config.to_dict(), "num_shared_experts": 1})


class BailingMoeV2DecoderLayer(Glm4MoeDecoderLayer):
    def __init__(self, config: BailingMoeV2Config, layer_idx: int) -> None:
        GradientCheckpointingLayer.__init__(self)
        dense = layer_idx < config.first_k_dense_replace
        self.hidden_size = config.hidden_size
        self.self_attn = BailingMoeV2Attention(config, layer_idx)
        self.mlp = Glm4MoeMLP(config) if dense else BailingMoeV2SparseBlock(config)
        self.input_layernorm = Glm4MoeRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = Glm4MoeRMSNorm(config.hidden_size, config.rms_norm_eps)


class BailingMoeV2PreTrainedModel(Glm4MoePreTrainedModel):
    config_class = BailingMoeV2Config
    _no_split_modules: ClassVar = ["BailingMoeV2DecoderLayer"]
    _keep_in_fp32_modules_strict: Any = ("e_score_correction_bias",)
    _keys_to_ignore_on_load_unexpected: Any = ()
    _can_record_outputs: ClassVar = {
        "hidden_states": BailingMoeV2DecoderLayer,
        "attentions": BailingMoeV2Attention,
        "router_logits": OutputRecorder(BailingMoeV2Router, index=0),
    }

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # Glm4MoeExperts can; transformers looks for its decorator in the text of this file

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, BailingMoeV2Router):
            bound = 1 / math.sqrt(self.config.hidden_size)
            initialization.uniform_(module.weight, -bound, bound)


class BailingMoeV2Model(BailingMoeV2PreTrainedModel, Glm4MoeModel):
    """The decoder without its head."""

    def __init__(self, config: BailingMoeV2Config) -> None:
        PreTrainedModel.__init__(self, config)
        self.padding_idx, self.vocab_size = config.pad_token_id, config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList([BailingMoeV2DecoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = Glm4MoeRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = Glm4MoeRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()


class BailingMoeV2ForCausalLM(BailingMoeV2PreTrainedModel, Glm4MoeForCausalLM):
    """The language model. A layer for multi-token prediction in its folder is not loaded, and kept when it is saved."""

    _tied_weights_keys: ClassVar = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: BailingMoeV2Config) -> None:
        PreTrainedModel.__init__(self, config)
        self.model = BailingMoeV2Model(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.extra_layers: ExtraLayers | None = None
        behind = range(config.num_hidden_layers, config.num_hidden_layers + config.num_nextn_predict_layers)
        self._keys_to_ignore_on_load_unexpected = {rf"layers\.{number}\." for number in behind}
        self.post_init()

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """As transformers', but raises UserError for weights that are not exactly those of the config."""
        folder = local_folder(name, kwargs)
        if folder is not None and isinstance(kwargs.get("config"), BailingMoeV2Config | None):
            check_folder(folder, kwargs.get("config") or BailingMoeV2Config.from_pretrained(folder))
        model, info = super().from_pretrained(name, *args, output_loading_info=True, **kwargs)
        check_names(info["missing_keys"], info["unexpected_keys"], str(name))
        check_tied(model, str(name))
        model.extra_layers = None if folder is None else find_extra_layers(model.config, folder)
        return (model, info) if output_loading_info else model

    @classmethod
    def check_published(cls, config: BailingMoeV2Config, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
        """Raise UserError where a checkpoint's tensors are not those of the config; other names are left alone."""
        if "model.word_embeddings.weight" in shapes:
            check_published(config, shapes, where)

    def save_pretrained(self, save_directory: Any, *args: Any, is_main_process: bool = True, **kwargs: Any) -> None:
        """As transformers', with the layers that were left out when the model was loaded."""
        super().save_pretrained(save_directory, *args, is_main_process=is_main_process, **kwargs)
        if is_main_process:
            keep_extra_layers(self.extra_layers, Path(save_directory))
