"""What TRL's fields are where a recipe does not give them: ringlite's choice, else TRL's own default. No torch."""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.recipe.trl_fields import trl_default

OURS: dict[str, dict[str, Any]] = {
    "SFTConfig": {
        "packing": True,
        "completion_only_loss": True,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "logging_steps": 1,
        "report_to": [],
        "dataset_num_proc": None,
    },
    "RewardConfig": {
        "center_rewards_coefficient": 0.01,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "logging_steps": 1,
        "report_to": [],
        "save_steps": 50,
        "num_train_epochs": 1,
    },
    "GRPOConfig": {
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "steps",
        "save_steps": 50,
        "save_total_limit": 2,
        "lr_scheduler_type": "constant_with_warmup",
    },
}
"""TRL config class -> field -> the value that a stage has where the recipe gives none."""
_OF_CLASS: dict[str, dict[str, Any]] = {
    "SFTConfig": {},
    "RewardConfig": {},
    "GRPOConfig": {
        "use_bias_correction_kl": False,
        "vllm_importance_sampling_correction": False,
        "router_aux_loss_coef": 0.0,
        "disable_dropout": True,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
    },
}
"""The same for defaults that the config class of ringlite has itself."""


_DECIDED_LATER = ("bf16", "use_cpu", "use_liger_kernel", "liger_kernel_config", "model_init_kwargs", "max_length")
"""Fields that are decided by the machine, the model or the data where a recipe does not give them."""


def usual_value(config: str, field: str) -> Any:
    """Return the value of a field that a recipe does not give. Raises KeyError where that is not known without TRL."""
    for known in (OURS[config], _OF_CLASS[config]):
        if field in known:
            return known[field]
    return trl_default(config, field)


def without_usual(config: str, given: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the given fields but for those that say what holds anyway. more: defaults that go before all others."""
    return {name: value for name, value in given.items() if not _is_usual(config, name, value, more or {})}


def _is_usual(config: str, field: str, value: Any, more: Mapping[str, Any]) -> bool:
    if field in _DECIDED_LATER:
        return False
    try:
        usual = more[field] if field in more else usual_value(config, field)
    except KeyError:
        return False
    return bool(usual == value) and isinstance(usual, bool) == isinstance(value, bool)
