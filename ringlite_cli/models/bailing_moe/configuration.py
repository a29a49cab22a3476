"""The published config of Ling-lite and Ring-lite. Its defaults are the size of Ling-lite-1.5: 16.8B, 2.75B active."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ringlite_cli.errors import UserError
from ringlite_cli.models.refused import ARCHITECTURES, SUPPORTED

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n_group": (0, 1),
    "topk_group": (0, 1),
    "score_function": ("softmax",),
    "moe_router_enable_expert_bias": (False,),
    "routed_scaling_factor": (1.0,),
    "use_qk_norm": (False,),
    "partial_rotary_factor": (1.0,),
    "num_nextn_predict_layers": (0,),
    "layer_group_size": (0, 1),
    "multi_gate": (False,),
    "use_sliding_window": (False,),
    "embedding_dropout": (0.0,),
    "output_dropout": (0.0,),
}
"""Fields of later Bailing models, each with the values at which it changes nothing (None never does)."""


@strict
class BailingMoeConfig(PreTrainedConfig):
    """Fields as published.

    first_k_dense_replace: layers at the bottom whose feed-forward is dense, of `intermediate_size`. norm_head: the
    head's weight is divided, per hidden column, by its norm over the vocabulary. norm_topk_prob: the weights of the
    chosen experts are divided by their sum. use_bias: of attention's output projection.

    Raises UserError for a config of another Bailing architecture.
    """

    model_type = "bailing_moe"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 (transformers' own convention)
    default_theta = 600_000.0
    auto_map: ClassVar[dict[str, str]] = {}  # the published code is not in folders saved from here; TRL asks for it

    vocab_size: int = 126_464
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    head_dim: int | None = 128
    hidden_act: str = "silu"
    use_qkv_bias: bool = False
    use_bias: bool = False
    attention_dropout: float | int = 0.0
    embedding_dropout: float | int = 0.0
    output_dropout: float | int = 0.0
    num_experts: int = 64
    num_shared_experts: int | None = 2
    num_experts_per_tok: int = 6
    moe_intermediate_size: int = 1408
    norm_topk_prob: bool = True
    first_k_dense_replace: int = 0
    norm_head: bool = False
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.006
    max_position_embeddings: int = 32_768
    rope_parameters: dict[str, Any] | None = None
    tie_word_embeddings: bool = False
    use_cache: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        _refuse_variant(vars(self) | kwargs)
        kwargs.pop("auto_map", None)
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As transformers'; a config of Ling 2.0, published under the same `model_type`, becomes one of that model."""
        from ringlite_cli.models.bailing_moe_v2.configuration import ARCHITECTURE, BailingMoeV2Config

        if ARCHITECTURE in (config_dict.get("architectures") or ()):
            return BailingMoeV2Config.from_dict(config_dict, **kwargs)
        return super().from_dict(config_dict, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """With `rope_theta` as published, beside transformers' `rope_parameters`."""
        fields: dict[str, Any] = super().to_dict()
        rope = fields.get("rope_parameters") or {}
        return fields | ({"rope_theta": rope["rope_theta"]} if "rope_theta" in rope else {})


def _refuse_variant(fields: dict[str, Any]) -> None:
    """Raise UserError for another architecture under the same model_type (Ling 2.0 was published so)."""
    for name in fields.get("architectures") or ():
        if name not in ARCHITECTURES:
            raise UserError(f"{name} is another architecture", where="config.json: architectures", hint=SUPPORTED)
    for name, neutral in _NEUTRAL.items():
        value = fields.get(name)
        if value is not None and value not in neutral:
            raise UserError(
                f"'{name}: {value}' belongs to another Bailing architecture, or to none that was published",
                where="config.json",
                hint=SUPPORTED,
            )
