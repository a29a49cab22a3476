"""What TRL's fields of a recipe ask of a GPU's memory. No torch."""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.memory.engine import engine_needs
from ringlite_cli.memory.fit import Beside
from ringlite_cli.memory.held import Shape
from ringlite_cli.recipe.trl_fields import trl_default

WHAT_FITS = (
    "share over more GPUs (`ringlite launcher fsdp2`), let an engine sleep (trl.vllm_enable_sleep_mode: true) or "
    "spread it (trl.vllm_tensor_parallel_size), keep less for the optimizer (trl.optim: adamw_torch_8bit), recompute "
    "(trl.gradient_checkpointing: true), train an adapter (lora), or shorten responses; `ringlite plan` shows each part"
)
"""What to do where something does not fit."""
REWARD_MODEL_FITS = (
    "keep less for the optimizer (trl.optim: adamw_torch_8bit), recompute (trl.gradient_checkpointing: true), lower "
    "trl.per_device_train_batch_size or trl.max_length, or start from a smaller model: each GPU holds a whole one"
)
"""What to do where training a reward model does not fit."""

DRAWS_LESS = (
    "draw by vLLM (trl.use_vllm: true), whose responses wait where memory is short, or draw fewer responses a step or "
    "shorter ones; `ringlite plan` shows each part"
)
"""What to do where the keys and values of a batch do not fit."""

_LIGER = {
    *("deepseek_v2", "deepseek_v3", "deepseek_v4", "exaone4", "falcon_h1", "gemma", "gemma2"),
    *("gemma3_text", "gemma4_text", "glm4", "gpt_oss", "granite", "hunyuan_v1_dense", "hunyuan_v1_moe"),
    *("llama", "llama4_text", "ministral", "mistral", "mixtral", "nemotron", "olmo2", "olmo3", "phi3"),
    *("qwen2", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "smollm3"),
}
"""Text models that liger-kernel 0.8 has fused norms and products for; others run on plain ones."""


def beside_of(trl: Mapping[str, Any], shape: Shape, *, responses: int, length: int, bf16: bool) -> Beside | None:
    """Return the engine on the trainer's own GPUs that GRPOConfig's fields ask for; None where there is none.

    responses: that a rank draws at a time. length: tokens of the longest, with its prompt.
    """
    if not trl.get("use_vllm") or _value(trl, "vllm_mode") != "colocate":
        return None
    gpus = int(_value(trl, "vllm_tensor_parallel_size") or 1)
    bound = trl.get("vllm_max_model_length") or getattr(shape.config, "max_position_embeddings", None)
    needs = engine_needs(
        shape.config,
        shape.total,
        in_flight=responses * gpus,
        length=length,
        bound=bound,
        width=2 if bf16 else 4,
        gpus=gpus,
    )
    return Beside(needs, bool(trl.get("vllm_enable_sleep_mode")), trl.get("vllm_gpu_memory_utilization"))


def scores_kept(config: Any, attention: str | None, longest: int) -> int:
    """Return the tokens of the longest sample where its attention is eager, which keeps all scores; else 0.

    attention: that the recipe names; None for the one that transformers takes for the architecture.
    """
    return longest if (attention or getattr(config, "_attn_implementation", "")) == "eager" else 0


def optimizer_name(trl: Mapping[str, Any]) -> str | None:
    """Return the optimizer that `trl.optim` names, in a word; None for the default."""
    named = trl.get("optim")
    return None if named is None else str(getattr(named, "value", named))


def has_fused_kernels(config: Any) -> bool:
    """Return whether liger has kernels for a model, by its text config."""
    return getattr(config, "model_type", "") in _LIGER and not type(config).__module__.startswith("ringlite_cli.")


def _value(trl: Mapping[str, Any], name: str) -> Any:
    return trl[name] if name in trl else trl_default("GRPOConfig", name)
