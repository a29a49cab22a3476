"""Ling-lite and Ring-lite as transformers models: the decoder, and the language model with its normalised head."""

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel, initialization
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import MoeCausalLMOutputWithPast, MoeModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeExperts, load_balancing_loss_func
from transformers.utils import can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from ringlite_cli.models.bailing_moe.checkpoint import check_folder, check_names, check_tied, local_folder
from ringlite_cli.models.bailing_moe.configuration import BailingMoeConfig
from ringlite_cli.models.bailing_moe.layers import BailingMoeAttention, BailingMoeDecoderLayer, BailingMoeRouter

CACHE = "cache" if "cache" in signature(create_causal_mask).parameters else "past_key_values"
"""What this version of transformers calls the keys and values of the tokens before; the name changed in 5.24."""


class BailingMoePreTrainedModel(PreTrainedModel):
    config_class = BailingMoeConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["BailingMoeDecoderLayer"]
    _skip_keys_device_placement: ClassVar = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs: ClassVar = {
        "router_logits": OutputRecorder(BailingMoeRouter, index=0),
        "hidden_states": BailingMoeDecoderLayer,
        "attentions": BailingMoeAttention,
    }

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # Qwen2MoeExperts can; transformers looks for its decorator in the text of this file

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, Qwen2MoeExperts):
            initialization.normal_(module.gate_up_proj, mean=0.0, std=std)
            initialization.normal_(module.down_proj, mean=0.0, std=std)
        elif isinstance(module, BailingMoeRouter):
            initialization.normal_(module.weight, mean=0.0, std=std)


class BailingMoeModel(BailingMoePreTrainedModel):
    """The decoder without its head."""

    def __init__(self, config: BailingMoeConfig) -> None:
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList([BailingMoeDecoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.word_embeddings = value

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        cache: Any = None,
        **kwargs: Any,
    ) -> MoeModelOutputWithPast:
        """input_ids, position_ids: (B, T). Router logits are (B x T, Ne) a layer, where they are asked for."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        past_key_values = cache if past_key_values is None else past_key_values
        hidden = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(hidden.shape[1], device=hidden.device) + seen)[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE: past_key_values},
        )
        rotary = self.rotary_emb(hidden, position_ids)
        for layer in self.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                position_embeddings=rotary,
                **kwargs,
            )
        kept = {CACHE: past_key_values if use_cache else None}
        return MoeModelOutputWithPast(last_hidden_state=self.norm(hidden), **kept)


class BailingMoeForCausalLM(BailingMoePreTrainedModel, GenerationMixin):
    """The language model.

    With `norm_head`, W's columns are divided by their norms n: logits = (W / n) h = W (h / n). It is the hidden
    states that are divided here, as they leave the decoder, so that whatever multiplies them with the head's weight
    (the fused log-probabilities, the entropy scorer) is right without knowing of it.
    """

    _tied_weights_keys: ClassVar = {"lm_head.weight": "model.word_embeddings.weight"}

    def __init__(self, config: BailingMoeConfig) -> None:
        super().__init__(config)
        self.model = BailingMoeModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.norm_head:
            self.model.register_forward_hook(self._divide_by_head_norms)
        self.post_init()

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """As transformers', but raises UserError for weights that are not exactly those of the config."""
        folder = local_folder(name, kwargs)
        if folder is not None and isinstance(kwargs.get("config"), BailingMoeConfig | None):
            check_folder(folder, kwargs.get("config") or BailingMoeConfig.from_pretrained(folder))
        model, info = super().from_pretrained(name, *args, output_loading_info=True, **kwargs)
        check_names(info["missing_keys"], info["unexpected_keys"], str(name))
        check_tied(model, str(name))
        return (model, info) if output_loading_info else model

    def _divide_by_head_norms(self, decoder: nn.Module, args: Any, output: Any) -> Any:
        weight = self.lm_head.weight
        with _whole(weight):
            norms = torch.linalg.vector_norm(weight.detach(), dim=0, dtype=torch.float32) + 1e-7
        norms = norms.full_tensor() if hasattr(norms, "full_tensor") else norms  # of an FSDP2 shard
        states = output[0]
        divided = (states / norms.to(states.device)).to(states.dtype)
        if isinstance(output, tuple):
            return (divided, *output[1:])
        output.last_hidden_state = divided
        return output

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_router_logits: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        cache: Any = None,
        **kwargs: Any,
    ) -> MoeCausalLMOutputWithPast:
        """labels: (B, T), -100 where there is none. logits_to_keep: the last so many positions' logits, 0 for all."""
        if output_router_logits is None:
            output_router_logits = self.config.output_router_logits
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache if past_key_values is None else past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_router_logits=output_router_logits,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        loss = None if labels is None else self.loss_function(logits, labels, self.vocab_size, **kwargs)
        aux_loss = None
        if output_router_logits:
            aux_loss = logits.new_zeros(())  # where all layers are dense, nothing is routed
            if outputs.router_logits:
                aux_loss = load_balancing_loss_func(
                    outputs.router_logits, self.config.num_experts, self.config.num_experts_per_tok, attention_mask
                )
            if loss is not None:
                loss = loss + self.config.router_aux_loss_coef * aux_loss.to(loss.device)
        return MoeCausalLMOutputWithPast(
            loss=loss,
            aux_loss=aux_loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            router_logits=outputs.router_logits,
            **{CACHE: getattr(outputs, CACHE)},
        )


def _whole(weight: Tensor) -> AbstractContextManager[Any]:
    """Under DeepSpeed ZeRO-3, weights are empty until they are gathered."""
    if not hasattr(weight, "ds_id"):
        return nullcontext()
    gathered: AbstractContextManager[Any] = import_module("deepspeed").zero.GatheredParameters([weight])
    return gathered
