"""Ling-lite and Ring-lite (Bailing MoE): config, model and the published weight layout, without remote code."""

from ringlite_cli.models.bailing_moe.configuration import BailingMoeConfig


def register_bailing_moe() -> None:
    """Make the architecture known to transformers' Auto classes, its relatives refused by name."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoTokenizer,
        PreTrainedConfig,
        PreTrainedTokenizerFast,
    )

    from ringlite_cli.models.bailing_moe.layout import register_layout
    from ringlite_cli.models.bailing_moe.modeling import BailingMoeForCausalLM, BailingMoeModel
    from ringlite_cli.models.bailing_moe.relatives import RELATIVES

    configs: tuple[type[PreTrainedConfig], ...] = (BailingMoeConfig, *RELATIVES)
    for config in configs:
        AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModel.register(BailingMoeConfig, BailingMoeModel, exist_ok=True)
    AutoModelForCausalLM.register(BailingMoeConfig, BailingMoeForCausalLM, exist_ok=True)
    AutoTokenizer.register(BailingMoeConfig, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)
    register_layout()
