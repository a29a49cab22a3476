"""Ling 2.0 and Ring 2.0 (Bailing MoE V2): transformers' GLM-4 MoE under the published names, without remote code."""

from ringlite_cli.models.bailing_moe_v2.configuration import BailingMoeV2Config


def register_bailing_moe_v2() -> None:
    """Make the architecture known to transformers' Auto classes, and its weight layout to its loader."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    from ringlite_cli.models.bailing_moe_v2.layout import register_layout
    from ringlite_cli.models.bailing_moe_v2.modeling import BailingMoeV2ForCausalLM, BailingMoeV2Model

    AutoConfig.register(BailingMoeV2Config.model_type, BailingMoeV2Config, exist_ok=True)
    AutoModel.register(BailingMoeV2Config, BailingMoeV2Model, exist_ok=True)
    AutoModelForCausalLM.register(BailingMoeV2Config, BailingMoeV2ForCausalLM, exist_ok=True)
    AutoTokenizer.register(BailingMoeV2Config, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)
    register_layout()
