"""The published config of Ling 2.0 and Ring 2.0. Its defaults are the size of Ling-mini-2.0: 16.3B, 1.4B active.

The published files say `model_type: bailing_moe`, which is the older architecture's own, and tell the two apart by
`architectures`. So do we: both spellings are read, and the published one is written, for vLLM decides by it.
"""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ringlite_cli.errors import UserError

ARCHITECTURE = "BailingMoeV2ForCausalLM"
_ONLY: dict[str, tuple[Any, ...]] = {
    "score_function": ("sigmoid",),
    "norm_topk_prob": (True,),
    "moe_router_enable_expert_bias": (True,),
    "use_rmsnorm": (True,),
    "router_dtype": ("fp32", "float32"),
    "multi_gate": (False,),
    "layer_group_size": (0, 1),
    "use_sliding_window": (False,),
    "embedding_dropout": (0, 0.0),
    "output_dropout": (0, 0.0),
}
"""Fields that the published code never reads, but other engines do, with the values that say what the code does."""


@strict
class BailingMoeV2Config(PreTrainedConfig):
    """Fields as published.

    first_k_dense_replace: layers at the bottom whose feed-forward is dense, of `intermediate_size`. n_group: the
    experts stand in so many consecutive groups, of which a token keeps `topk_group`. routed_scaling_factor: of the
    chosen experts' weights, once these are divided by their sum. partial_rotary_factor: the share of a head's first
    channels that is rotated. num_nextn_predict_layers: layers for multi-token prediction that the checkpoint holds.
    use_bias: of attention's output projection.

    Raises UserError for values that the published model does not compute.
    """

    model_type = "bailing_moe_v2"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 (transformers' own convention)
    default_theta = 600_000.0
    auto_map: ClassVar[dict[str, str]] = {}  # the published code is not in folders saved from here; TRL asks for it
    attribute_map: ClassVar[dict[str, str]] = {
        "num_local_experts": "num_experts",
        "n_routed_experts": "num_experts",
        "n_shared_experts": "num_shared_experts",
        "attention_bias": "use_qkv_bias",
    }

    vocab_size: int = 157_184
    hidden_size: int = 2048
    intermediate_size: int = 5120
    num_hidden_layers: int = 20
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    head_dim: int | None = 128
    hidden_act: str = "silu"
    use_qkv_bias: bool = False
    use_bias: bool = False
    use_qk_norm: bool = True
    attention_dropout: float | int = 0.0
    embedding_dropout: float | int = 0.0
    output_dropout: float | int = 0.0
    num_experts: int = 256
    num_shared_experts: int | None = 1
    num_experts_per_tok: int = 8
    n_group: int = 8
    topk_group: int = 4
    routed_scaling_factor: float | int = 2.5
    score_function: str = "sigmoid"
    norm_topk_prob: bool = True
    moe_router_enable_expert_bias: bool = True
    router_dtype: str = "fp32"
    use_rmsnorm: bool = True
    moe_intermediate_size: int = 512
    first_k_dense_replace: int = 1
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    max_position_embeddings: int = 32_768
    partial_rotary_factor: float | int | None = None
    rotary_dim: int | None = None
    rope_parameters: dict[str, Any] | None = None
    num_nextn_predict_layers: int = 0
    tie_word_embeddings: bool = False
    use_cache: bool = True
    output_router_logits: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for name in ("auto_map", "model_type"):
            kwargs.pop(name, None)
        refuse_variant(vars(self) | kwargs)
        self.num_shared_experts = self.num_shared_experts or 0
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        share = self._rotated_share(kwargs)
        self.partial_rotary_factor, self.rotary_dim = share, int(self.head_dim * share)
        super().__post_init__(partial_rotary_factor=share, **kwargs)
        self.partial_rotary_factor = share  # transformers moves it into rope_parameters
        self._check_routing()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As transformers'; a field that is null has its default, but for shared experts: there are none then."""
        given = {name: x for name, x in config_dict.items() if x is not None or name == "num_shared_experts"}
        return super().from_dict(given, **kwargs)

    def _rotated_share(self, kwargs: dict[str, Any]) -> float:
        """The rotated share of a head, from whichever of its three spellings is there; the whole head without any."""
        assert self.head_dim is not None
        inside = (self.rope_parameters or {}).get("partial_rotary_factor")
        given = {
            "partial_rotary_factor": self.partial_rotary_factor,
            "rotary_dim": None if self.rotary_dim is None else self.rotary_dim / self.head_dim,
            "rope_parameters.partial_rotary_factor": inside,
        }
        shares = {name: float(share) for name, share in given.items() if share is not None}
        if len({int(self.head_dim * share) for share in shares.values()}) > 1:
            raise UserError(
                f"{' and '.join(shares)} rotate different parts of a head of {self.head_dim} channels",
                where="config.json",
                hint="keep the one that the weights were trained with",
            )
        return next(iter(shares.values()), 1.0)

    def _check_routing(self) -> None:
        faults = []
        if self.num_experts % max(self.n_group, 1) or self.n_group < 1:
            faults.append(f"num_experts: {self.num_experts} cannot be cut into n_group: {self.n_group} equal groups")
        elif self.num_experts // self.n_group < 2:
            faults.append(f"n_group: {self.n_group} leaves one expert a group; the router adds up a group's best two")
        elif not 1 <= self.topk_group <= self.n_group:
            faults.append(f"topk_group: {self.topk_group} is not between 1 and n_group: {self.n_group}")
        elif not 1 <= self.num_experts_per_tok <= self.topk_group * (self.num_experts // self.n_group):
            faults.append(
                f"num_experts_per_tok: {self.num_experts_per_tok} is more than the kept groups hold "
                f"({self.topk_group * (self.num_experts // self.n_group)})"
            )
        if faults:
            raise UserError(faults[0], where="config.json", hint="it was changed by hand, or is of another model")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as published, with those that vLLM's versions read beside transformers' own."""
        fields: dict[str, Any] = super().to_dict()
        rope = fields.get("rope_parameters") or {}
        scaled = rope if rope.get("rope_type", "default") != "default" else None
        return fields | {
            "rope_scaling": scaled and {name: x for name, x in scaled.items() if name != "rope_theta"},
            "model_type": "bailing_moe",
            "architectures": [ARCHITECTURE],
            "rope_theta": rope.get("rope_theta", self.default_theta),
            "partial_rotary_factor": self.partial_rotary_factor,
            "rotary_dim": self.rotary_dim,
        }


def refuse_variant(fields: dict[str, Any]) -> None:
    """Raise UserError for fields that say something else than the published model computes."""
    for name, allowed in _ONLY.items():
        value = fields.get(name)
        if value is not None and value not in allowed:
            raise UserError(
                f"'{name}: {value}' is not what Ling 2.0's published model computes ({name}: {allowed[0]})",
                where="config.json",
                hint="it was changed by hand, or is of another model",
            )
    if (fields.get("num_nextn_predict_layers") or 0) > 1:
        raise UserError(
            f"'num_nextn_predict_layers: {fields['num_nextn_predict_layers']}': no published model has more than one",
            where="config.json",
        )
    if (fields.get("num_shared_experts") or 0) < 0:
        raise UserError("num_shared_experts is below 0", where="config.json")
